/** Handles characters that PostgreSQL cannot store in text: NUL, and halves of surrogate pairs. */
import type { Submission } from '../../model/submission.ts'

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

/** Names and strings in quotes, which may contain `$` with a number, such as a schema's name; and parameters. */
const QUOTED_OR_PARAMETER = /"[^"]*"|'[^']*'|\$(\d+)/g

/** Writes a statement with its parameters as literals. */
export function inlined(text: string, values: readonly unknown[]): string {
  return text.replaceAll(QUOTED_OR_PARAMETER, (found, number) =>
    number === undefined ? found : literal(values[Number(number) - 1]),
  )
}

/** An escape string: what it means does not depend on `standard_conforming_strings`. */
function literal(value: unknown): string {
  if (value === null || value === undefined) return 'NULL'
  return `E'${String(value).replaceAll('\\', '\\\\').replaceAll("'", "''")}'`
}

/**
 * Writes an array of strings. JSON writes a string as PostgreSQL does in an array, except for control characters: with
 * those, the driver must write the array, which takes twice as long.
 */
export function textArray(values: readonly (string | null)[]): unknown {
  if (values.some(value => value !== null && CONTROL.test(value))) return values
  return `{${JSON.stringify(values).slice(1, -1)}}`
}

const CONTROL = /\p{Cc}/u

/** Replaces characters that PostgreSQL cannot store by U+FFFD. */
export function storable(text: string): string {
  return text.toWellFormed().replaceAll('\0', '\ufffd')
}
