/** Short messages about the last action. */
import { signal } from '@preact/signals'
import { Refusal } from '../api.ts'

interface Notice {
  readonly id: number
  readonly text: string
  readonly isProblem: boolean
}

const notices = signal<readonly Notice[]>([])
let last = 0

export function notify(text: string, isProblem = false): void {
  const id = ++last
  notices.value = [...notices.value.slice(-2), { id, text, isProblem }]
  setTimeout(
    () => {
      notices.value = notices.value.filter(it => it.id !== id)
    },
    isProblem ? 8000 : 3500,
  )
}

/** Does something, and shows the outcome. */
export async function perform(work: () => Promise<unknown>, done: string): Promise<boolean> {
  try {
    await work()
    notify(done)
    return true
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    notify(error.problem.detail ?? error.problem.title, true)
    return false
  }
}

export function Notices() {
  return (
    <div class="notices" role="status" aria-live="polite">
      {notices.value.map(({ id, text, isProblem }) => (
        <p key={id} class={isProblem ? 'problem' : ''}>
          {text}
        </p>
      ))}
    </div>
  )
}
