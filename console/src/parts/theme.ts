/** Light, dark, or as the system has it. */
import { signal } from '@preact/signals'

const THEMES = ['system', 'light', 'dark'] as const
export type Theme = (typeof THEMES)[number]

const STORED = 'waybill.theme'

export const theme = signal<Theme>(THEMES.find(it => it === localStorage.getItem(STORED)) ?? 'system')

theme.subscribe(value => {
  document.documentElement.style.colorScheme = value === 'system' ? '' : value
})

export function nextTheme(): void {
  theme.value = THEMES[(THEMES.indexOf(theme.value) + 1) % THEMES.length] ?? 'system'
  localStorage.setItem(STORED, theme.value)
}
