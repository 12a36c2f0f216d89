/**
 * Keys: how the file keeps ids. A UUID takes 16 bytes instead of 36 characters, in its row and in the index. Any other
 * id is kept as it is.
 */
import type { SqlValue } from './database.ts'

/** The value of each hexadecimal digit in lower case by its character code; -1 for other characters. */
const DIGITS = Int8Array.from({ length: 128 }, (_, code) => '0123456789abcdef'.indexOf(String.fromCharCode(code)))
/** Where each byte begins in a UUID. */
const PLACES = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34] as const
const UUID_LENGTH = 36
const HYPHEN = 45
/** The mark of an id that is not a UUID, where a statement selects {@link ID}. */
const OTHER = '='

/** A UUID as bytes, or another id. Other ids sort before all UUIDs. */
export type Key = Uint8Array | string

/**
 * The key of an id. Keys of UUIDs sort as the UUIDs do.
 *
 * @returns the bytes of a UUID in lower case; any other id unchanged
 */
export function keyOf(id: string): Key {
  if (id.length !== UUID_LENGTH || !hasHyphens(id)) return id
  const key = new Uint8Array(PLACES.length)
  // Negative as soon as one of the digits is.
  let digits = 0
  for (let at = 0; at < PLACES.length; at++) {
    const place = PLACES[at] ?? 0
    const high = DIGITS[id.charCodeAt(place)] ?? -1
    const low = DIGITS[id.charCodeAt(place + 1)] ?? -1
    digits |= high | low
    key[at] = (high << 4) | low
  }
  return digits < 0 ? id : key
}

function hasHyphens(id: string): boolean {
  return (
    id.charCodeAt(8) === HYPHEN &&
    id.charCodeAt(13) === HYPHEN &&
    id.charCodeAt(18) === HYPHEN &&
    id.charCodeAt(23) === HYPHEN
  )
}

/** Sorts behind the key of every id. */
export const LAST_KEY: Uint8Array = new Uint8Array(PLACES.length + 1).fill(0xff)

/** Selects what {@link idOf} converts to an id. The driver returns text in half the time of bytes. */
export const ID = `iif(typeof(uuid) = 'blob', hex(uuid), '${OTHER}' || uuid)`

/** Converts a selected {@link ID}. */
export function idOf(selected: SqlValue | undefined): string {
  const text = selected as string
  if (text.startsWith(OTHER)) return text.slice(OTHER.length)
  const hex = text.toLowerCase()
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

/** The id as text, for conditions that search in it. */
export const ID_TEXT = `iif(typeof(uuid) = 'blob', ${hyphenated('lower(hex(uuid))')}, uuid)`

function hyphenated(hex: string): string {
  const parts = [
    [1, 8],
    [9, 4],
    [13, 4],
    [17, 4],
    [21, 12],
  ] as const
  return parts.map(([from, length]) => `substr(${hex}, ${from}, ${length})`).join(" || '-' || ")
}

/** Converts a column of ids to keys: for the migration of files that have ids as text. */
export const KEY_OF_ID = `CASE WHEN id GLOB '${[8, 4, 4, 4, 12].map(count => '[0-9a-f]'.repeat(count)).join('-')}' THEN unhex(id, '-') ELSE id END`
