/** What no text in PostgreSQL can hold: the character NUL, and halves of surrogate pairs. */
import type { Submission } from '../../operation.ts'

const TEXTS = ['input', 'type', 'owner', 'idempotencyKey', 'fingerprint', 'traceparent', 'webhookUrl'] as const

/**
 * Refuses a submission that cannot be stored as it is.
 *
 * @throws {TypeError} it names the field
 */
export function checkSubmission(submission: Submission): void {
  for (const field of TEXTS) {
    const text = submission[field]
    if (text != null) checkText(field, text)
  }
}

/** @throws {TypeError} when PostgreSQL cannot hold the text */
export function checkText(name: string, text: string): void {
  if (!text.includes('\0') && text.isWellFormed()) return
  throw new TypeError(
    `"${name}" holds a NUL character or half of a surrogate pair, which PostgreSQL cannot store. ` +
      'In JSON write it as an escape (\\u0000); elsewhere leave it out.',
  )
}

/** The same text, with what PostgreSQL cannot hold replaced by U+FFFD. */
export function storable(text: string): string {
  return text.toWellFormed().replaceAll('\0', '\ufffd')
}
