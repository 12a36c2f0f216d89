/**
 * Checks options once, where a user gives them. An unknown name or an invalid value throws at once, with the name of
 * the option and what it must be.
 */
import { type DurationRange, durationText, LONGEST_TIMER_MS, readDuration } from './duration.ts'

/**
 * What the value of an option must be. An option that is not required may be missing or undefined; then its default
 * applies.
 */
export interface Check {
  /** Completes "the option must be …". */
  readonly expected: string
  readonly test: (value: unknown) => boolean
  readonly required?: boolean
}

/** A check for each option of `T`: the compiler asks for one when an option is added. */
export type Checks<T> = { readonly [Name in keyof Required<T>]: Check }

/** Renamed options: from the former name to the present one. */
export type RenamedOptions<T> = Readonly<Record<string, keyof T & string>>

/**
 * Checks options before they are used: their names and their values.
 *
 * @param where the function or the option that takes them, such as `sqliteStore()` or `worker`; every message begins
 * with it
 * @param renamed former names; the error for one gives the new name
 * @throws {TypeError} for a value that is not an object, for an unknown option, and for an option that is invalid, or
 * is required and missing
 */
export function checkOptions(
  where: string,
  options: unknown,
  checks: Readonly<Record<string, Check>>,
  renamed: Readonly<Record<string, string>> = {},
): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new TypeError(`${where} takes its options as an object, not ${shown(options)}.`)
  }
  for (const name of Object.keys(options)) {
    if (!Object.hasOwn(checks, name)) throw new TypeError(`${where}: ${unknownOption(name, checks, renamed)}`)
  }
  for (const [name, { expected, test, required: isRequired = false }] of Object.entries(checks)) {
    const value: unknown = (options as Record<string, unknown>)[name]
    if (value === undefined ? isRequired : !test(value)) {
      throw new TypeError(
        `${where}${where.endsWith(')') ? ': ' : '.'}${name} must be ${expected}, not ${shown(value)}.`,
      )
    }
  }
}

/** The same check for an option that has no default. */
export function required(check: Check): Check {
  return { ...check, required: true }
}

/** Accepts any value: the code that reads the option checks it and has its own messages. */
export const UNCHECKED: Check = { expected: 'given', test: () => true }
export const BOOLEAN: Check = { expected: 'true or false', test: value => typeof value === 'boolean' }
export const FUNCTION: Check = { expected: 'a function', test: value => typeof value === 'function' }
export const STRING: Check = {
  expected: 'a string that is not empty',
  test: value => typeof value === 'string' && value !== '',
}
export const STRINGS: Check = {
  expected: 'a list of strings',
  test: value => Array.isArray(value) && value.every(isString),
}
export const OBJECT: Check = { expected: 'an object', test: value => typeof value === 'object' && value !== null }

/** Names and strings, such as environment variables. */
export const STRING_RECORD: Check = {
  expected: 'an object whose values are strings',
  test: value => OBJECT.test(value) && !Array.isArray(value) && Object.values(value as object).every(isString),
}

/** The URL under which clients reach a server. A path added to it must still give a URL. */
export const PUBLIC_URL: Check = {
  expected:
    'an absolute URL of http or https without a query, a fragment and a password, such as "https://api.example.com/v1"',
  test: value => typeof value === 'string' && isPublicUrl(value),
}

/** Where an API is mounted. */
export const PREFIX: Check = {
  expected: 'a path that begins with "/", such as "/api"',
  test: value => typeof value === 'string' && /^(?:\/[^?#\s]*)?$/.test(value),
}

export const STORE: Check = withMethods(
  'a store, such as sqliteStore({ path: "./orders.db" })',
  'open',
  'accept',
  'claim',
  'close',
)
export const BLOB_STORE: Check = withMethods(
  'a blob store, such as folderBlobs({ path: "./results" })',
  'put',
  'get',
  'delete',
)
export const LOGGER: Check = withMethods('a logger with info, warn and error', 'info', 'warn', 'error')
export const LIST: Check = { expected: 'an array', test: value => Array.isArray(value) }
export const OPERATION_TYPES: Check = {
  expected: 'a list of operation types made by defineOperation()',
  test: types => Array.isArray(types) && types.every(type => OBJECT.test(type) && OBJECT.test(type.policy)),
}

/** One of these strings. */
export function oneOf(...values: readonly string[]): Check {
  return {
    expected: values.map(value => JSON.stringify(value)).join(' or '),
    test: value => values.includes(value as string),
  }
}

/** An integer within bounds. */
export function integer(min: number, max: number): Check {
  const test = (value: unknown) => typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max
  return { expected: `a whole number from ${min} to ${max}`, test }
}

/** A `Duration` within a range of milliseconds. */
export function duration(range: DurationRange = {}): Check {
  const bounds = `from ${durationText(range.min ?? 0)} to ${durationText(range.max ?? LONGEST_TIMER_MS)}`
  return {
    expected: `a number of milliseconds or a string such as "30s", ${bounds}`,
    test: value => readDuration(value, range) !== undefined,
  }
}

/** An object that has these methods. */
export function withMethods(expected: string, ...methods: readonly string[]): Check {
  const test = (value: unknown) =>
    OBJECT.test(value) && methods.every(name => typeof (value as Record<string, unknown>)[name] === 'function')
  return { expected, test }
}

function isString(value: unknown): boolean {
  return typeof value === 'string'
}

function isPublicUrl(text: string): boolean {
  const url = URL.parse(text)
  if (url === null || /[?#\s]/.test(text)) return false
  const { protocol, username, password } = url
  return /^https?:$/.test(protocol) && username === '' && password === ''
}

function unknownOption(name: string, checks: object, renamed: Readonly<Record<string, string>>): string {
  const newName = Object.hasOwn(renamed, name) ? renamed[name] : undefined
  if (newName !== undefined) return `the option "${name}" is now called "${newName}".`
  const nearest = nearestName(name, Object.keys(checks))
  return `unknown option "${name}".${nearest === undefined ? '' : ` Did you mean "${nearest}"?`}`
}

/** The known name with the fewest changed letters, if at most a third of its letters differ. */
function nearestName(name: string, known: readonly string[]): string | undefined {
  const [nearest] = known
    .map(candidate => ({ candidate, changes: changedLetters(name.toLowerCase(), candidate.toLowerCase()) }))
    .filter(({ candidate, changes }) => changes <= Math.ceil(Math.min(name.length, candidate.length) / 3))
    .sort((a, b) => a.changes - b.changes)
  return nearest?.candidate
}

/** The Levenshtein distance: how many letters to add, remove or replace to turn one string into the other. */
function changedLetters(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index)
  for (const [index, letter] of [...from].entries()) {
    const next = [index + 1]
    for (const [column, other] of [...to].entries()) {
      const replaced = (row[column] ?? 0) + (letter === other ? 0 : 1)
      next.push(Math.min(replaced, (row[column + 1] ?? 0) + 1, (next[column] ?? 0) + 1))
    }
    row = next
  }
  return row[to.length] ?? 0
}

/** A value as messages show it. The members of an object are not shown: they may be secrets. */
function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 200))
  if (typeof value === 'function') return 'a function'
  if (Array.isArray(value)) return 'a list'
  return typeof value === 'object' && value !== null ? 'an object' : String(value)
}
