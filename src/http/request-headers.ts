/** Reads request headers other than conditions: the idempotency key, the trace, and the wanted representation. */

import { problemError } from '../model/problem.ts'
import { splitList } from '../model/protocol.ts'
import { parseHttpDate, parseIsoTime } from '../util/dates.ts'
import { type HttpRequest, header } from './message.ts'

type Headers = Pick<HttpRequest, 'headers'>

/** A structured-field string (RFC 9651), and its parameters, which have no meaning for a key. */
const QUOTED_KEY = /^"((?:[^"\\]|\\["\\])*)"(?: *; *[a-z*][\w.*-]*(?:=(?:"(?:[^"\\]|\\["\\])*"|[^\s",;]+))?)*$/

/**
 * The key is a structured-field string in double quotes; a bare token is accepted too, since most clients send one. It
 * cannot contain a comma: a header that is sent twice arrives as one value with a comma. A client that repeats its key
 * by mistake in a retry would otherwise start a second operation.
 *
 * @throws {ProblemError} `invalid-idempotency-key`
 */
export function idempotencyKey(request: Headers): string | undefined {
  const value = header(request, 'Idempotency-Key')?.trim()
  if (value === undefined) return undefined
  const quoted = QUOTED_KEY.exec(value)
  const key = quoted === null ? value : (quoted[1] ?? '').replaceAll(/\\(["\\])/g, '$1')
  if (!/^[\x20-\x7e]{1,255}$/.test(key) || (quoted === null && /[",]/.test(value))) {
    throw problemError('invalid-idempotency-key', `It is ${JSON.stringify(value.slice(0, 100))}.`)
  }
  return key
}

/** W3C trace context; an invalid one is ignored. */
export function traceparent(request: Headers): string | undefined {
  const value = header(request, 'traceparent')
  const known = /^(?!ff)[0-9a-f]{2}-(?!0+-)[0-9a-f]{32}-(?!0+-)[0-9a-f]{16}-[0-9a-f]{2}$/.test(value ?? '')
  return known ? value : undefined
}

const YEAR_MS = 366 * 86_400_000
const HTTP_DATE = /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/
/** The profile of ISO 8601 that RFC 3339 defines, with the `T`. */
const RFC_3339 = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:\d{2})$/i

/**
 * How long the work must not begin, by `Not-Before`, in milliseconds; 0 if that time has passed.
 *
 * @throws {ProblemError} `invalid-request` if it is not a time, or is more than a year ahead
 */
export function delayMs(request: HttpRequest): number {
  const value = header(request, 'Not-Before')?.trim()
  if (value === undefined) return 0
  const delay = readTime(value) - Date.now()
  if (delay <= YEAR_MS) return Math.max(0, delay)
  const expected = 'an HTTP date, or a date and time such as 2030-01-31T08:00:00Z, at most a year ahead'
  throw problemError('invalid-request', `Not-Before must be ${expected}; it is ${JSON.stringify(value.slice(0, 100))}.`)
}

function readTime(text: string): number {
  if (RFC_3339.test(text)) return parseIsoTime(text)
  return HTTP_DATE.test(text) ? parseHttpDate(text) : Number.NaN
}

/** How much a media type is wanted, and which part of the header says so. */
interface Wish {
  readonly weight: number
  /** 2 for the type itself, 1 for `text/*`, 0 for any type, -1 if the header does not cover it. */
  readonly precision: number
  /** Its place in the header. */
  readonly place: number
}

/**
 * Whether the client would rather have server-sent events than JSON (RFC 9110, 12.5.1). Only a client that names the
 * type gets a stream: clients that accept anything do not expect an answer that stays open. Of two types with the same
 * weight, the more specific one is sent, then the one that is named first.
 */
export function wantsEvents(request: Headers): boolean {
  const accept = header(request, 'accept')
  if (accept === undefined || !/text\/event-stream/i.test(accept)) return false
  const ranges = splitList(accept).map(readRange)
  const events = wishFor(ranges, 'text/event-stream')
  const json = wishFor(ranges, 'application/json')
  if (events.weight === 0 || events.precision < 2) return false
  if (events.weight !== json.weight) return events.weight > json.weight
  return events.precision > json.precision || events.place < json.place
}

function readRange(text: string): { readonly media: string; readonly weight: number } {
  const [media = '', ...parameters] = text.split(';')
  const weight = parameters.map(one => /^\s*q\s*=\s*([\d.]+)\s*$/i.exec(one)?.[1]).find(found => found !== undefined)
  return { media: media.trim().toLowerCase(), weight: Number(weight ?? 1) }
}

function wishFor(ranges: readonly ReturnType<typeof readRange>[], media: string): Wish {
  const names = ['*/*', media.replace(/\/.*/, '/*'), media]
  const wishes = ranges.map(({ media: range, weight }, place) => ({ weight, precision: names.indexOf(range), place }))
  const none: Wish = { weight: 0, precision: -1, place: ranges.length }
  return wishes.reduce<Wish>((best, wish) => (wish.precision > best.precision ? wish : best), none)
}
