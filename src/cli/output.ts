/** Prints the output of commands: columns for people, JSON for programs. */
import { fstatSync, writeFileSync } from 'node:fs'
import { WaitError } from '../client/client.ts'
import { ProblemError } from '../model/problem.ts'
import type { Problem } from '../model/protocol.ts'
import type { Wait } from '../model/waits.ts'
import { type Logger, logEntry } from '../util/logger.ts'
import { plain } from '../util/plain-text.ts'

/**
 * Whether the output is a file or a device. If the disk is nearly full and takes only part of a write, Node's stream
 * reports no error, so files are written synchronously.
 */
const IS_FILE = isFile(1)

function isFile(descriptor: number): boolean {
  const found = fstatSync(descriptor)
  return found.isFile() || (found.isCharacterDevice() && !process.stdout.isTTY)
}

/**
 * Prints text and a newline. Returns the exit code 0.
 *
 * @throws when the output is a file and its disk is full
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

/** The error for output that could not be written. */
export function unwritten(cause: Error): Error {
  return new Error(`The output could not be written: ${cause.message}.`, { cause })
}

/** Calls back once all output has been written, or writing it has failed. */
export function whenWritten(call: (error?: Error | null) => void): void {
  // A full device refuses even an empty write.
  if (IS_FILE) call()
  else process.stdout.write('', call)
}

/** Prints a value as one line of JSON. */
export function printJson(value: unknown): number {
  return print(JSON.stringify(value))
}

/** Formats rows as lines with aligned columns. */
export function columns(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, at) => Math.max(...rows.map(row => [...(row[at] ?? '')].length)))
  return rows.map(row =>
    row
      .map((cell, at) => cell + ' '.repeat(Math.max(0, (widths[at] ?? 0) - [...cell].length)))
      .join('  ')
      .trimEnd(),
  )
}

/** Untrusted text on one line, without control characters, shortened to `most` characters. */
export function short(text: string, most = 80): string {
  const characters = [...plain(text)]
  return characters.length <= most ? characters.join('') : `${characters.slice(0, most - 1).join('')}…`
}

export function time(at: number | null): string {
  return at === null ? '' : new Date(at).toISOString()
}

/** What a suspended handler waits for, in some words. */
export function describeWait({ kind, name, until }: Pick<Wait, 'kind' | 'name' | 'until'>): string {
  const end = until === null ? '' : ` until ${time(until)}`
  if (kind === 'time') return `sleeps${end}`
  if (kind === 'children') return `waits for its children${end}`
  return `waits for ${kind === 'event' ? 'the event' : 'an answer to'} "${name}"${end}`
}

/** Formats a duration in the most readable unit: `250 ms`, `1.5 s`, `2 min 5 s`, `3 h`. */
export function span(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`
  if (ms < 60_000) return `${Math.round(ms / 100) / 10} s`
  const [unit, part, size] = ms < 3_600_000 ? ['min', 's', 60_000] : ['h', 'min', 3_600_000]
  const rest = Math.floor((ms % size) / (size / 60))
  return `${Math.floor(ms / size)} ${unit}${rest === 0 ? '' : ` ${rest} ${part}`}`
}

/** Prints an entry of a log as a line of JSON. */
export function printEntry(level: keyof Logger, fields: object, message: string): void {
  printJson(logEntry(level, fields, message))
}

/** Prints every entry as a line of JSON. */
export const jsonLogger: Logger = {
  info: (fields, message) => printEntry('info', fields, message),
  warn: (fields, message) => printEntry('warn', fields, message),
  error: (fields, message) => printEntry('error', fields, message),
}

/** Writes a line to standard error. Returns the exit code. */
export function fail(message: string, code: number): number {
  process.stderr.write(`${message}\n`)
  return code
}

/** An AggregateError, such as that of a connection to several addresses, may have no message of its own. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const problem = error instanceof ProblemError || error instanceof WaitError ? error.problem : undefined
  const fields = fieldErrors(problem)
  if (problem !== undefined && fields !== '') return `${problem.title}: ${fields}`
  if (error instanceof ProblemError) return [error.problem.title, error.problem.detail].filter(Boolean).join('. ')
  // Its cause says who did not answer, and why.
  if (error.message === 'fetch failed' && error.cause !== undefined) return `No answer: ${messageOf(error.cause)}`
  if (error.message !== '') return error.message
  return error instanceof AggregateError ? error.errors.map(messageOf).join(' ') : error.name
}

/** What is wrong with each field. Its JSON Pointer is empty for the whole. Other APIs may list anything as errors. */
function fieldErrors(problem: Problem | undefined): string {
  const errors: readonly unknown[] = Array.isArray(problem?.errors) ? problem.errors : []
  const fields = errors.map(it => Object(it) as { readonly pointer?: unknown; readonly detail?: unknown })
  return fields
    .filter(({ detail }) => typeof detail === 'string')
    .map(({ pointer, detail }) => plain(typeof pointer === 'string' ? `${pointer} ${detail}` : `${detail}`))
    .join('; ')
}
