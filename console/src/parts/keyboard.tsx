/** The keys of the console, and the dialog that lists them. */
import { signal } from '@preact/signals'
import { navigate } from '../router.ts'
import { Dialog } from './dialog.tsx'

const isHelpOpen = signal(false)

const KEYS: readonly (readonly [keys: string, what: string])[] = [
  ['/', 'Filter the operations'],
  ['j k', 'Next and previous operation'],
  ['Enter', 'Open the operation'],
  ['x', 'Select the operation'],
  ['g o', 'Overview'],
  ['g p', 'Operations'],
  ['g t', 'Types'],
  ['g b', 'Bulk runs'],
  ['g a', 'Audit'],
  ['Esc', 'Leave a field or a dialog'],
  ['?', 'These keys'],
]

const PLACES: Readonly<Record<string, string>> = { o: '.', p: 'operations', t: 'types', b: 'bulk', a: 'audit' }

export function listenToKeys(): void {
  let isGoing = false
  document.addEventListener('keydown', event => {
    const { target, key, metaKey, ctrlKey, altKey } = event
    const isTyping =
      target instanceof Element && target.closest('input:not([type=checkbox],[type=radio]), textarea') !== null
    if (metaKey || ctrlKey || altKey || isTyping || document.querySelector('dialog[open]') !== null) return
    const to = isGoing ? PLACES[key] : undefined
    isGoing = key === 'g'
    if (to !== undefined) navigate(to)
    else if (key === '/') focusFilter()
    else if (key === 'j') step(1)
    else if (key === 'k') step(-1)
    else if (key === 'x') currentRow()?.querySelector<HTMLInputElement>('input[type=checkbox]')?.click()
    else if (key === '?') isHelpOpen.value = true
    else return
    event.preventDefault()
  })
}

export function openHelp(): void {
  isHelpOpen.value = true
}

export function Help() {
  if (!isHelpOpen.value) return null
  return (
    <Dialog
      title="Keys"
      onClose={() => {
        isHelpOpen.value = false
      }}
    >
      <dl class="keys">
        {KEYS.map(([keys, what]) => (
          <div key={keys}>
            <dt>
              {keys.split(' ').map(it => (
                <kbd key={it}>{it}</kbd>
              ))}
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  )
}

function focusFilter(): void {
  const field = document.getElementById('filter')
  field?.focus()
  if (field !== null) return
  navigate('operations')
  requestAnimationFrame(() => document.getElementById('filter')?.focus())
}

function currentRow(): HTMLTableRowElement | null {
  return document.activeElement?.closest('tr[data-row]') ?? null
}

function step(by: number): void {
  const rows = [...document.querySelectorAll<HTMLTableRowElement>('tr[data-row]')]
  const current = currentRow()
  const at = current === null ? (by > 0 ? 0 : -1) : rows.indexOf(current) + by
  const row = rows.at(Math.min(at, rows.length - 1))
  if (at < 0 && current !== null) return
  row?.querySelector<HTMLElement>('a.id')?.focus()
}
