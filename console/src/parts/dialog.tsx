/** Dialogs by the browser's own element, which keeps the focus and closes by Escape. */
import { signal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { useEffect, useRef } from 'preact/hooks'

export function Dialog({
  title,
  onClose,
  children,
  actions,
}: {
  readonly title: string
  readonly onClose: () => void
  readonly children: ComponentChildren
  readonly actions?: ComponentChildren
}) {
  const dialog = useRef<HTMLDialogElement>(null)
  useEffect(() => {
    const { current } = dialog
    current?.showModal()
    return () => current?.close()
  }, [])
  return (
    <dialog ref={dialog} class="dialog" aria-labelledby="dialog-title" onClose={onClose}>
      <h2 id="dialog-title">{title}</h2>
      {children}
      <footer>
        <button type="button" class="button" onClick={() => dialog.current?.close()}>
          Close
        </button>
        {actions}
      </footer>
    </dialog>
  )
}

interface Question {
  readonly title: string
  readonly text: string
  /** The label of the button that confirms. */
  readonly verb: string
  readonly answer: (isYes: boolean) => void
}

const question = signal<Question | undefined>(undefined)

/** Asks before something that cannot be undone. */
export function confirmed(asked: Omit<Question, 'answer'>): Promise<boolean> {
  return new Promise(resolve => {
    question.value = {
      ...asked,
      answer: isYes => {
        question.value = undefined
        resolve(isYes)
      },
    }
  })
}

/** The question that is open, if any. */
export function OpenQuestion() {
  const { value } = question
  if (value === undefined) return null
  return (
    <Dialog
      title={value.title}
      onClose={() => value.answer(false)}
      actions={
        <button type="button" class="button danger" onClick={() => value.answer(true)}>
          {value.verb}
        </button>
      }
    >
      <p>{value.text}</p>
    </Dialog>
  )
}
