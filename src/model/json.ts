/** Reads untrusted JSON safely, and compares JSON values without regard to the order of their keys. */
import { isUtf8 } from 'node:buffer'
import { createHash } from 'node:crypto'
import secureJson from 'secure-json-parse'
import { problemError } from './problem.ts'

/** Deeper nesting is refused, so that recursive code that reads the value cannot overflow the stack. */
export const MAX_JSON_DEPTH = 100

/**
 * The text of a body.
 *
 * @throws {ProblemError} `invalid-json` for bytes that are not UTF-8: replacing them, as decoders do, would change the
 * input
 */
export function readUtf8(bytes: Buffer): string {
  if (!isUtf8(bytes)) throw problemError('invalid-json', 'It is not UTF-8.')
  return bytes.toString('utf8')
}

/**
 * Reads JSON text.
 *
 * @throws {ProblemError} `invalid-json` for text that is not JSON, is nested deeper than {@link MAX_JSON_DEPTH}, or has
 * a key that could change prototypes (prototype pollution)
 */
export function parseJson(text: string): unknown {
  if (text.length > MAX_JSON_DEPTH && depthOf(text) > MAX_JSON_DEPTH) {
    throw problemError('invalid-json', `It is nested deeper than ${MAX_JSON_DEPTH} levels.`)
  }
  try {
    return secureJson.parse(text, { protoAction: 'error', constructorAction: 'error' })
  } catch (error) {
    throw problemError('invalid-json', undefined, { cause: error })
  }
}

function depthOf(text: string): number {
  let depth = 0
  let deepest = 0
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === QUOTE) at = endOfString(text, at)
    else if (code === BRACE || code === BRACKET) deepest = Math.max(deepest, ++depth)
    else if (code === BRACE + 2 || code === BRACKET + 2) depth--
  }
  return deepest
}

const [QUOTE, BRACKET, BACKSLASH, BRACE] = [0x22, 0x5b, 0x5c, 0x7b]

function endOfString(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === BACKSLASH) at++
    else if (code === QUOTE) return at
  }
  return text.length
}

/**
 * A digest of a JSON value: base64url of SHA-256. Values that differ only in white space or in the order of keys have
 * the same digest.
 */
export function fingerprint(value: unknown): string {
  return createHash('sha256').update(canonical(value)).digest('base64url')
}

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null'
  // A submit from the same process may contain values that are not JSON, such as a Date.
  if ('toJSON' in value && typeof value.toJSON === 'function') return canonical(value.toJSON())
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${members.map(([key, member]) => `${JSON.stringify(key)}:${canonical(member)}`).join(',')}}`
}
