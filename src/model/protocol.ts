/**
 * What client and server share about the wire: statuses, documents, and how
 * `Retry-After` (RFC 9110, 10.2.3) and `Prefer` (RFC 7240) are read and written.
 *
 * This file imports nothing, so it is safe in a browser.
 */

/** The longest delay that a timer can hold, in milliseconds: a larger one would fire at once. */
export const MAX_TIMER_MS = 2_147_483_647

/** Every status an operation can have, in the order of its life. */
export const STATUSES = ['pending', 'running', 'completed', 'failed', 'canceled'] as const

/** `pending` → `running` → `completed` | `failed` | `canceled`; the last three never change. */
export type Status = (typeof STATUSES)[number]

/** The statuses that never change again. */
export const FINAL_STATUSES = ['completed', 'failed', 'canceled'] as const

/** One of the three final statuses. */
export type FinalStatus = (typeof FINAL_STATUSES)[number]

/**
 * Tells whether an operation has ended. A status this version does not know counts as not
 * finished, so that an old client keeps waiting on a newer server.
 *
 * @example
 * console.log(isFinal('running'), isFinal('failed'))
 */
export function isFinal(status: string): status is FinalStatus {
  return status === 'completed' || status === 'failed' || status === 'canceled'
}

/** One error in the input: a JSON Pointer (RFC 6901) to its place, and a message. */
export interface InputError {
  readonly pointer: string
  readonly detail: string
}

/** A problem detail (RFC 9457). Members beyond the standard's are extensions; readers ignore those they do not know. */
export interface Problem {
  /** A URI that names the kind of problem. */
  readonly type: string
  /** The kind of problem in a few words; the same for every occurrence. */
  readonly title: string
  /** The HTTP status that the problem is, or will be, sent with. */
  readonly status: number
  /** What happened this time, and how to fix it. */
  readonly detail?: string
  /** The last part of `type`, for programs to switch on. */
  readonly code?: string
  /** The errors in the input, one for each place. */
  readonly errors?: readonly InputError[]
  readonly [extension: string]: unknown
}

/** How far an attempt has come: a fraction from 0 to 1, and a short message for people. */
export interface Progress {
  readonly fraction: number
  readonly message?: string
}

/** Where the resources of one operation are: URLs relative to the server, or absolute under its public base URL. */
export interface Links {
  readonly status: string
  readonly result: string
  readonly operation: string
  readonly events: string
  /** The status of the operation that this one runs again. */
  readonly retryOf?: string
  /** The status of the operation that has submitted this one. */
  readonly parent?: string
  /** The status of the operation that runs this one again. */
  readonly retriedBy?: string
}

/**
 * The URLs of an operation below a base, which is a mount prefix or a public URL.
 *
 * @example
 * console.log(linksOf('/api', 'orders', '01890a5d').status)
 */
export function linksOf(base: string, type: string, id: string): Links {
  const status = `${base}/${type}/status/${id}`
  return { status, result: `${base}/${type}/${id}`, operation: `${base}/operations/${id}`, events: status }
}

/** How many operations a page of a list holds where the request names no limit. */
export const DEFAULT_PAGE_LIMIT = 50

/** The most operations that a page of a list holds. */
export const MAX_PAGE_LIMIT = 200

/** What the handler of an operation waits for. */
export interface WaitDocument {
  /** `time` and `children`: nobody needs to do anything. `event`: a system sends something. `input`: a person or an agent answers `message`. */
  readonly kind: 'time' | 'event' | 'input' | 'children'
  readonly name: string
  /** When it ends without an event. */
  readonly until?: string
  readonly message?: string
  /** The JSON Schema of the event. */
  readonly schema?: Readonly<Record<string, unknown>>
  /** Of a question that a language model is to answer: the most tokens of its answer. */
  readonly model?: { readonly maxTokens: number }
  /** Where to POST the event. */
  readonly url?: string
}

/** How many operations the handler of this one has submitted, and how they have ended. */
export interface ChildrenDocument {
  readonly total: number
  readonly completed: number
  readonly failed: number
  readonly canceled: number
}

/**
 * What a client sees of an operation. It never contains the input or internal details of the server. Times are RFC 3339
 * in UTC with milliseconds.
 */
export interface StatusDocument {
  readonly id: string
  /** The operation type's name. */
  readonly operation: string
  readonly status: Status
  readonly createdAt: string
  readonly updatedAt: string
  /** The time before which the work does not begin, if the request set one that has not passed. */
  readonly notBefore?: string
  /** When it fails unless it has finished. */
  readonly deadline?: string
  /** When the first attempt began. */
  readonly startedAt?: string
  readonly finishedAt?: string
  /** When the record and its result will be gone. */
  readonly expiresAt?: string
  /** The attempt that runs or ran last, from 1; 0 before the first. */
  readonly attempt: number
  readonly maxAttempts: number
  readonly progress?: Progress
  /** The position in the queue of its type: 1 is next. */
  readonly queuePosition?: number
  readonly estimatedCompletionAt?: string
  /** Seconds to wait before polling again; 0 when finished. */
  readonly retryAfter: number
  readonly cancelRequested: boolean
  /** Why it has not started, or does not continue. */
  readonly waitingFor?: string
  /** What its handler waits for. */
  readonly waits?: readonly WaitDocument[]
  /** How many operations its handler has submitted, and how they have ended. Deleted ones are not counted. */
  readonly children?: ChildrenDocument
  /** Why it failed or was canceled. */
  readonly error?: Problem
  /** Names and values that the service has given it. */
  readonly tags?: Readonly<Record<string, string>>
  readonly links: Links
}

/**
 * Reads `Retry-After`: whole seconds, or an HTTP date. A date is compared with the `Date` header of the same answer,
 * since the clocks of two hosts may differ widely; without that header, with this host's clock.
 *
 * @param value the header's value, or nothing
 * @param date the answer's `Date` header, or nothing
 * @returns milliseconds from 0 to {@link MAX_TIMER_MS}; undefined where the header is missing or cannot be read
 *
 * @example
 * const { headers } = await fetch('https://api.example.com/orders/status/1')
 * const delayMs = parseRetryAfter(headers.get('retry-after'), headers.get('date')) ?? 1000
 */
export function parseRetryAfter(value: string | null | undefined, date?: string | null): number | undefined {
  const isSeconds = /^\d+$/.test(`${value}`)
  const ms = isSeconds ? Number(value) * 1000 : parseHttpDate(value) - (parseHttpDate(date) || Date.now())
  return ms > 0 ? Math.min(ms, MAX_TIMER_MS) : ms <= 0 ? 0 : undefined
}

/**
 * Returns NaN for a string that is not an HTTP date. Date.parse reads "-5" and "1.5" as dates; an HTTP date always
 * begins with the name of a day.
 */
function parseHttpDate(date: string | null | undefined): number {
  return Date.parse(`${/^[A-Z][a-z]+,? .*/.exec(`${date}`)}`)
}

/**
 * Writes milliseconds as the whole seconds of a `Retry-After` header: rounded up, at least 1.
 *
 * @example
 * console.log(formatRetryAfter(1500))
 */
export function formatRetryAfter(ms: number): string {
  return String(Math.max(1, Math.ceil(ms / 1000)))
}

/** The preferences of RFC 7240 that an asynchronous API can honour. */
export interface Preferences {
  /** How long the client is willing to wait for an outcome, in seconds. */
  readonly wait?: number
  /** The client asks to be answered with 202 rather than to wait. */
  readonly respondAsync: boolean
}

/**
 * The elements of a header's list (RFC 9110, 5.6.1): a comma inside a quoted string does not end an element. A string
 * without its closing quote extends to the end.
 *
 * @example
 * console.log(splitList('a, "b, c"'))
 */
export function splitList(value: string): readonly string[] {
  return value.match(/(?:"(?:[^"\\]|\\.?)*(?:"|$)|[^",])+/g) ?? []
}

/** The name and the value of a preference. Its parameters follow after a semicolon. */
const PREFERENCE = /^\s*([^\s=;"]+)\s*(?:=\s*(?:("(?:[^"\\]|\\.)*"|[^\s;"]+)\s*)?)?(?:;|$)/
/** The value that replaces a number of seconds that is too large (RFC 9111, 1.2.2). */
const MAX_DELTA_SECONDS = 2_147_483_648

/**
 * Reads a `Prefer` header. As RFC 7240 requires, preferences that are unknown or cannot be read are ignored, and only
 * the first of a repeated preference counts.
 *
 * @example
 * console.log(parsePrefer('respond-async, wait=10').wait)
 */
export function parsePrefer(value: string | null | undefined): Preferences {
  let wait: number | undefined
  let respondAsync = false
  for (const part of splitList(value ?? '')) {
    const [, name = '', argument = ''] = PREFERENCE.exec(part) ?? []
    if (name.toLowerCase() === 'respond-async') respondAsync = true
    if (name.toLowerCase() !== 'wait' || wait !== undefined) continue
    const seconds = argument.replace(/^"(.*)"$/, '$1')
    if (/^\d+$/.test(seconds)) wait = Math.min(Number(seconds), MAX_DELTA_SECONDS)
  }
  return wait === undefined ? { respondAsync } : { wait, respondAsync }
}
