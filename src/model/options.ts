/**
 * Options at the door: what is not known, or cannot be right, fails when a thing is made, with its
 * name, and is not found out later as something that silently does not happen.
 */

/** What an option must be. Left out, or undefined, it has its default, unless it is needed. */
export interface Check {
  /** Completes "the option must be …". */
  readonly must: string
  readonly fits: (value: unknown) => boolean
  readonly needed?: boolean
}

/** A check for each option of `T`: the compiler asks for one when an option is added. */
export type Checks<T> = { readonly [Name in keyof Required<T>]: Check }

/** Options that are called something else now: the former name, and the name that replaces it. */
export type RenamedOptions<T> = Readonly<Record<string, keyof T & string>>

/**
 * Checks options before they are used.
 *
 * @param where what takes them, such as `sqliteStore()`, or what they are options of, such as `worker`; every message begins with it
 * @param renamed former names, whose errors give the new name
 * @throws {TypeError} when `options` is not an object, or an option is unknown, missing or invalid
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
    if (Object.hasOwn(renamed, name))
      throw new TypeError(`${where}: the option "${name}" is now called "${renamed[name]}".`)
    if (!Object.hasOwn(checks, name))
      throw new TypeError(`${where}: there is no option "${name}"${meant(name, checks)}.`)
  }
  for (const [name, { must, fits, needed = false }] of Object.entries(checks)) {
    const value: unknown = (options as Record<string, unknown>)[name]
    if (value === undefined ? needed : !fits(value)) {
      throw new TypeError(`${where}${where.endsWith(')') ? ': ' : '.'}${name} must be ${must}, not ${shown(value)}.`)
    }
  }
}

/** The same check of an option that has no default. */
export function needed(check: Check): Check {
  return { ...check, needed: true }
}

/** Any value: what reads it refuses what cannot be right, in words of its own. */
export const READ_LATER: Check = { must: 'given', fits: () => true }
export const FLAG: Check = { must: 'true or false', fits: value => typeof value === 'boolean' }
export const FUNCTION: Check = { must: 'a function', fits: value => typeof value === 'function' }
export const TEXT: Check = {
  must: 'a text that is not empty',
  fits: value => typeof value === 'string' && value !== '',
}
export const TEXTS: Check = { must: 'a list of texts', fits: value => Array.isArray(value) && value.every(isString) }
export const OBJECT: Check = { must: 'an object', fits: value => typeof value === 'object' && value !== null }

/** Names and texts, such as environment variables. */
export const NAMED_TEXTS: Check = {
  must: 'an object of names and texts',
  fits: value => OBJECT.fits(value) && !Array.isArray(value) && Object.values(value as object).every(isString),
}

/** What clients reach a server under; what is put behind it must stay a URL. */
export const PUBLIC_URL: Check = {
  must: 'an absolute URL of http or https without a query, a fragment and a password, such as "https://api.example.com/v1"',
  fits: value => typeof value === 'string' && isPublicUrl(value),
}

/** Where an API is mounted. */
export const PREFIX: Check = {
  must: 'a path that begins with "/", such as "/api"',
  fits: value => typeof value === 'string' && /^(?:\/[^?#\s]*)?$/.test(value),
}

/** What compositions of each kind are made of. */
export const STORE: Check = having(
  'a store, such as sqliteStore({ path: "./orders.db" })',
  'open',
  'accept',
  'claim',
  'close',
)
export const BLOB_STORE: Check = having(
  'a blob store, such as folderBlobs({ path: "./results" })',
  'put',
  'get',
  'delete',
)
export const LOGGER: Check = having('a logger with info, warn and error', 'info', 'warn', 'error')
export const OPERATION_TYPES: Check = {
  must: 'a list of what defineOperation() makes',
  fits: types => Array.isArray(types) && types.every(type => OBJECT.fits(type) && OBJECT.fits(type.policy)),
}

/** One of some texts. */
export function oneOf(...values: readonly string[]): Check {
  return {
    must: values.map(value => JSON.stringify(value)).join(' or '),
    fits: value => values.includes(value as string),
  }
}

/** A whole number within bounds. */
export function whole(min: number, max: number): Check {
  const fits = (value: unknown) => Number.isInteger(value) && (value as number) >= min && (value as number) <= max
  return { must: `a whole number from ${min} to ${max}`, fits }
}

/** Anything that has these methods. */
export function having(must: string, ...methods: readonly string[]): Check {
  const fits = (value: unknown) =>
    OBJECT.fits(value) && methods.every(name => typeof (value as Record<string, unknown>)[name] === 'function')
  return { must, fits }
}

function isString(value: unknown): boolean {
  return typeof value === 'string'
}

function isPublicUrl(text: string): boolean {
  if (!URL.canParse(text) || /[?#\s]/.test(text)) return false
  const { protocol, username, password } = new URL(text)
  return /^https?:$/.test(protocol) && username === '' && password === ''
}

/** The known option whose letters are the same but for one: most misspellings leave out, double or swap some. */
function meant(name: string, checks: object): string {
  const foreign = (a: string, b: string) =>
    new Set([...a.toLowerCase()].filter(char => !b.toLowerCase().includes(char))).size
  const found = Object.keys(checks).find(known => foreign(known, name) + foreign(name, known) <= 1)
  return found === undefined ? '' : `; perhaps "${found}" is meant`
}

/** A value as messages show it. What an object holds is not shown: it may be a secret. */
function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 200))
  if (typeof value === 'function') return 'a function'
  if (Array.isArray(value)) return 'a list'
  return typeof value === 'object' && value !== null ? 'an object' : String(value)
}
