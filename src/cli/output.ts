/** What commands print: for people, as columns; for programs, as JSON. */
import { fstatSync, writeFileSync } from 'node:fs'

/**
 * Whether the output is a file or a device. When that takes only the first part of a write, as on a disk that is
 * nearly full, Node's stream says nothing of it.
 */
const IS_FILE = isFile(1)

function isFile(descriptor: number): boolean {
  const found = fstatSync(descriptor)
  return found.isFile() || (found.isCharacterDevice() && !process.stdout.isTTY)
}

/**
 * Prints text and a line's end. Gives the exit code 0.
 *
 * @throws when the output is a file that has no room for it
 */
export function print(text: string): number {
  if (IS_FILE) writeWhole(`${text}\n`)
  else process.stdout.write(`${text}\n`)
  return 0
}

function writeWhole(text: string): void {
  try {
    writeFileSync(1, text)
  } catch (error) {
    throw unwritten(error as Error)
  }
}

/** What is said where the output cannot be written. */
export function unwritten(cause: Error): Error {
  return new Error(`The output could not be written: ${cause.message}.`, { cause })
}

/** Calls back when all that was printed has left the process, or could not. */
export function whenWritten(call: (error?: Error | null) => void): void {
  // Even of nothing a full device says that it has no room.
  if (IS_FILE) call()
  else process.stdout.write('', call)
}

/** Prints a value as one line of JSON. */
export function printJson(value: unknown): number {
  return print(JSON.stringify(value))
}

/** Rows as lines, their columns aligned. */
export function columns(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, at) => Math.max(...rows.map(row => [...(row[at] ?? '')].length)))
  return rows.map(row =>
    row
      .map((cell, at) => cell + ' '.repeat(Math.max(0, (widths[at] ?? 0) - [...cell].length)))
      .join('  ')
      .trimEnd(),
  )
}

/** Text of strangers on one line, without what a terminal would obey. */
export function plain(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, ' ').trim()
}

/** The same, cut where it is long. */
export function short(text: string, most = 80): string {
  const characters = [...plain(text)]
  return characters.length <= most ? characters.join('') : `${characters.slice(0, most - 1).join('')}…`
}

export function time(at: number | null): string {
  return at === null ? '' : new Date(at).toISOString()
}

/** A duration in the unit that says most: `250 ms`, `1.5 s`, `2 min 5 s`, `3 h 4 min`. */
export function span(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`
  if (ms < 60_000) return `${Math.round(ms / 100) / 10} s`
  const [unit, part, size] = ms < 3_600_000 ? ['min', 's', 60_000] : ['h', 'min', 3_600_000]
  return `${Math.floor(ms / size)} ${unit} ${Math.floor((ms % size) / (size / 60))} ${part}`
}
