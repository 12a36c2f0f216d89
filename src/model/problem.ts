/**
 * Every problem (RFC 9457) that Waybill itself reports: its code, its HTTP status, its title
 * and how to fix it. docs/reference/problems.md is generated from this table, and a test compares them.
 */

import { markInstances } from '../util/brand.ts'
import { cutToJsonBytes, type Json, jsonBytes, readMember, toPlainJson } from '../util/plain-json.ts'
import { type Duration, durationMs } from './duration.ts'
import type { InputError, Problem } from './protocol.ts'

/** One kind of problem. */
export interface ProblemKind {
  /** The HTTP status it is sent with. */
  readonly status: number
  readonly title: string
  /** What the client can do about it. It ends every `detail`. */
  readonly cure: string
}

/**
 * The kinds, by code. A code never changes its meaning.
 *
 * @example
 * console.log(PROBLEMS['not-found'].status)
 */
export const PROBLEMS = {
  'invalid-json': {
    status: 400,
    title: 'The body is not valid JSON',
    cure: 'Send one JSON value in UTF-8, nested at most 100 levels deep, without the keys "__proto__" and "constructor.prototype".',
  },
  'invalid-input': {
    status: 400,
    title: 'The input does not match the schema',
    cure: 'Fix the fields listed in "errors" and send the request again.',
  },
  'invalid-idempotency-key': {
    status: 400,
    title: 'The Idempotency-Key is invalid',
    cure: 'Send 1 to 255 printable ASCII characters, such as a UUID in double quotes.',
  },
  unauthenticated: {
    status: 401,
    title: 'Authentication required',
    cure: 'Send the credentials that this API accepts; WWW-Authenticate names the scheme.',
  },
  forbidden: {
    status: 403,
    title: 'Permission denied',
    cure: 'Ask the operator of this API for permission.',
  },
  'cross-origin': {
    status: 403,
    title: 'The change comes from a page of another origin',
    cure: 'Make the change from the console of this API.',
  },
  'admin-token-invalid': {
    status: 403,
    title: 'The token of the session is missing or invalid',
    cure: 'Read "token" of GET /admin/session and send it as waybill-token.',
  },
  'idempotency-key-required': {
    status: 400,
    title: 'An Idempotency-Key is required',
    cure: 'Send an Idempotency-Key header, such as a UUID in double quotes, and send the same key when you retry the request.',
  },
  'idempotency-key-reused': {
    status: 422,
    title: 'The Idempotency-Key was used with a different body',
    cure: 'Send a new key for a new request; reuse a key only with the same body.',
  },
  'invalid-request': {
    status: 400,
    title: 'The request is invalid',
    cure: 'Fix what "detail" describes and send the request again.',
  },
  'method-not-allowed': {
    status: 405,
    title: 'Method not allowed',
    cure: 'Use one of the methods listed in Allow.',
  },
  'body-too-large': {
    status: 413,
    title: 'The body is too large',
    cure: 'Send a smaller body.',
  },
  'unsupported-media-type': {
    status: 415,
    title: 'The media type is not supported',
    cure: 'Send the body as application/json in UTF-8.',
  },
  'unsupported-content-coding': {
    status: 415,
    title: 'The content coding is not supported',
    cure: 'Send the body uncompressed, without Content-Encoding.',
  },
  'precondition-failed': {
    status: 412,
    title: 'A precondition of the request failed',
    cure: 'Send the request without If-Match and If-None-Match, or with the strong ETag of the same URL; the ETag of a status is weak, so If-Match never matches it.',
  },
  'no-such-route': {
    status: 404,
    title: 'Route not found',
    cure: 'Check the path: /openapi.json lists the routes of this API, relative to the path where it is mounted.',
  },
  'not-found': {
    status: 404,
    title: 'Operation not found',
    cure: 'Check the URL against the Location header of the 202 response.',
  },
  'not-finished': {
    status: 404,
    title: 'The operation has not finished',
    cure: 'Poll the status URL; when it answers 303, the result is ready.',
  },
  'operation-expired': {
    status: 410,
    title: 'The operation has expired',
    cure: 'Send the request again if you still need the result.',
  },
  'range-not-satisfiable': {
    status: 416,
    title: 'The range is outside the result',
    cure: 'Request a range within the length given in Content-Range.',
  },
  'operation-finished': {
    status: 409,
    title: 'The operation has already finished',
    cure: 'Read its result; nothing can change an operation that has finished.',
  },
  'invalid-event': {
    status: 422,
    title: 'The event does not match the schema',
    cure: 'Fix the fields listed in "errors" and send the event again.',
  },
  'event-refused': {
    status: 409,
    title: 'The event is not accepted',
    cure: 'Read the status: "waits" lists the events that the operation waits for.',
  },
  'wait-timeout': {
    status: 504,
    title: 'An event did not come in time',
    cure: 'Send the request again, and send the event within the time that the status shows.',
  },
  'operation-unfinished': {
    status: 409,
    title: 'The operation is still in progress',
    cure: 'Wait until it has finished, or cancel it first.',
  },
  'not-retryable': {
    status: 409,
    title: 'The operation cannot be retried',
    cure: 'Retry operations that failed or were canceled; for anything else, send a new request.',
  },
  'operation-canceled': {
    status: 410,
    title: 'The operation was canceled',
    cure: 'Send the request again if you still need the result.',
  },
  'operation-failed': {
    status: 500,
    title: 'The operation failed',
    cure: "Send the request again later, or report the operation's id to the operator of this API.",
  },
  'attempt-timeout': {
    status: 504,
    title: 'The work timed out',
    cure: 'Send a smaller request, or ask the operator of this API to raise the timeout.',
  },
  'start-deadline': {
    status: 504,
    title: 'The work did not start in time',
    cure: 'Send the request again when the service is less busy.',
  },
  'deadline-exceeded': {
    status: 504,
    title: 'The work was not finished in time',
    cure: 'Send the request again when the service is less busy, or ask the operator of this API to raise the deadline.',
  },
  'worker-lost': {
    status: 500,
    title: 'The worker stopped before the work was finished',
    cure: 'Do not send the same request again until the cause is known: the request may have crashed its workers.',
  },
  'launch-lost': {
    status: 500,
    title: 'Executions started but never did the work',
    cure: 'Report this to the operator of this API: the job starts but does not claim its operation.',
  },
  'input-lost': {
    status: 500,
    title: 'The input of the operation was lost',
    cure: "Send the request again, and report the operation's id to the operator of this API: the input is missing from the store.",
  },
  'invalid-output': {
    status: 500,
    title: 'The result does not match the schema',
    cure: "Report this to the operator of this API: the handler's result does not match the declared output.",
  },
  'output-too-large': {
    status: 500,
    title: 'The result is too large to store',
    cure: 'Report this to the operator of this API: the handler should store a large result elsewhere and return its address.',
  },
  'result-lost': {
    status: 500,
    title: 'The stored result is missing',
    cure: "Report the operation's id to the operator of this API, whose log names what is missing, or send the request again.",
  },
  'no-blob-store': {
    status: 500,
    title: 'The result is not JSON, and no blob store is configured',
    cure: 'Report this to the operator of this API: the option "blobs" is not set.',
  },
  'input-outdated': {
    status: 500,
    title: 'The stored input no longer matches the schema',
    cure: 'Send the request again in the form that the API accepts now.',
  },
  'no-handler': {
    status: 500,
    title: 'No handler is registered for the operation type',
    cure: 'Report this to the operator of this API: the workers lack the handler.',
  },
  'invalid-webhook-url': {
    status: 400,
    title: 'The Webhook-Url is invalid',
    cure: 'Send an https URL with a public host, without a user name or password.',
  },
  'webhooks-not-allowed': {
    status: 400,
    title: 'The operation type does not support webhooks',
    cure: 'Send the request without Webhook-Url, and poll the status URL or listen to its events.',
  },
  'no-webhook': {
    status: 409,
    title: 'The operation has no webhook',
    cure: 'Send a Webhook-Url with the request that creates the operation.',
  },
  'webhook-not-delivered': {
    status: 502,
    title: 'The webhook was not delivered',
    cure: 'Make sure that the receiver answers with 2xx, then have the webhook sent again.',
  },
  'too-many-requests': {
    status: 429,
    title: 'Too many requests',
    cure: 'Wait for the time in Retry-After and send the request again.',
  },
  unavailable: {
    status: 503,
    title: 'Service unavailable',
    cure: 'Wait for the time in Retry-After and send the request again.',
  },
  'internal-error': {
    status: 500,
    title: 'Internal server error',
    cure: 'Send the request again; if the error persists, report it to the operator of this API.',
  },
} as const satisfies Record<string, ProblemKind>

/** The code of a problem that Waybill reports. */
export type ProblemCode = keyof typeof PROBLEMS

/** The beginning of every `type`; the code follows. */
export const PROBLEM_TYPE_PREFIX = 'urn:problem-type:waybill:'

/**
 * Makes a problem of a kind from the table.
 *
 * @param code which kind
 * @param detail what happened this time; the cure of the kind is appended
 */
export function problem(code: ProblemCode, detail?: string, extensions: Record<string, unknown> = {}): Problem {
  const kind: ProblemKind = PROBLEMS[code]
  return {
    type: PROBLEM_TYPE_PREFIX + code,
    title: kind.title,
    status: kind.status,
    detail: detail === undefined ? kind.cure : `${detail} ${kind.cure}`,
    code,
    ...extensions,
  }
}

/** The problem that a handler, or the composition, reports for a failure. */
export interface ProblemInit {
  /**
   * The HTTP status the result URL answers with: 400 to 599. Default 500. A status that describes the HTTP
   * exchange and not the operation (401, 405, 407, 408, 412, 416, 417, 421, 425, 426, 511) appears in the problem
   * alone: the result URL answers 422 in its place, and 500 for 511.
   */
  readonly status?: number
  /** Default `about:blank`, which means: see the status. */
  readonly type?: string
  /** Default: the status' usual phrase, or "The operation failed". */
  readonly title?: string
  readonly detail?: string
  readonly code?: string
  readonly errors?: readonly InputError[]
  /** Not allowed here, since every member is sent to the client. See {@link ProblemErrorOptions}. */
  readonly retryAfter?: never
  /** Not allowed here, for the same reason. */
  readonly cause?: never
  readonly [extension: string]: unknown
}

/**
 * Statuses that come with headers a problem does not have (RFC 9110 demands them for 401, 405, 407 and 426), that
 * clients answer by sending the request again (408, 417, 421, 425), that browsers report as a network error (407), or
 * that are about the request's own headers or network (412, 416, 511).
 */
const OF_THE_EXCHANGE = new Set([401, 405, 407, 408, 412, 416, 417, 421, 425, 426, 511])

/** The HTTP status that an operation which failed with this problem has at its result URL. */
export function resultStatus({ status }: Pick<Problem, 'status'>): number {
  if (!OF_THE_EXCHANGE.has(status)) return status
  return status < 500 ? 422 : 500
}

/** Options of {@link ProblemError}. */
export interface ProblemErrorOptions {
  /** The underlying error. It is logged, and never sent to a client. */
  readonly cause?: unknown
  /** How long until the same thing may be tried again, at most 30 days. Default: the failure is final. */
  readonly retryAfter?: Duration | undefined
}

/** The most bytes of a problem as JSON. */
const MAX_PROBLEM_BYTES: number = 16 * 1024

/** The longest time before another attempt that a handler can ask for: 30 days, in milliseconds. */
const LONGEST_RETRY_AFTER_MS: number = 30 * 24 * 3_600_000

const DEFAULT_TYPE = 'about:blank'
const DEFAULT_TITLE = 'The operation failed'
/** How many bytes of each standard member are kept, which leaves extensions at least a third of the whole. */
const MEMBER_BYTES = { type: 1024, title: 1024, detail: 8192, code: 256 } as const
/** The most bytes of a problem in the history of its operation, and the most characters of the detail of one that had more. */
const [BRIEF_BYTES, BRIEF_DETAIL] = [1024, 500]

/**
 * Makes a problem from what a handler has thrown: plain JSON within {@link MAX_PROBLEM_BYTES}. Standard members become strings
 * and are cut where they are too long; extensions are left out from the first one that does not fit.
 */
export function plainProblem(init: object): Problem {
  const status = readMember(init, 'status')
  const [detail, code] = [plainText(init, 'detail'), plainText(init, 'code')]
  const standard = {
    type: plainText(init, 'type') ?? DEFAULT_TYPE,
    title: plainText(init, 'title') ?? DEFAULT_TITLE,
    status: isErrorStatus(status) ? status : 500,
    ...(detail !== undefined && { detail }),
    ...(code !== undefined && { code }),
  }
  return { ...standard, ...extensionsOf(init, MAX_PROBLEM_BYTES - jsonBytes(standard)) }
}

/** Makes the problem small enough for the history: of more than 1 KiB, extensions are dropped and the detail is cut. */
export function briefProblem(problem: Problem): Problem {
  if (JSON.stringify(problem).length <= BRIEF_BYTES) return problem
  const { type, title, status, detail, code } = problem
  return {
    type,
    title,
    status,
    ...(detail !== undefined && { detail: detail.slice(0, BRIEF_DETAIL) }),
    ...(code !== undefined && { code }),
  }
}

function plainText(init: object, name: keyof typeof MEMBER_BYTES): string | undefined {
  const bytes = MEMBER_BYTES[name]
  const value = toPlainJson(readMember(init, name), bytes)
  if (value === undefined || value === null) return undefined
  return cutToJsonBytes(typeof value === 'string' ? value : JSON.stringify(value), bytes)
}

const STANDARD: readonly string[] = ['type', 'title', 'status', 'detail', 'code', '__proto__']

function extensionsOf(init: object, room: number): Record<string, Json> {
  const members = toPlainJson(init, MAX_PROBLEM_BYTES)
  const extensions: Record<string, Json> = {}
  let left = room
  // For what it cannot read, toPlainJson returns a string, which has no members.
  if (typeof members !== 'object') return extensions
  for (const [name, value] of Object.entries(members ?? {})) {
    if (STANDARD.includes(name)) continue
    left -= jsonBytes({ [name]: value })
    if (left < 0) break
    extensions[name] = value
  }
  return extensions
}

function isErrorStatus(status: unknown): status is number {
  return typeof status === 'number' && Number.isInteger(status) && status >= 400 && status <= 599
}

/** Whole milliseconds within the bounds; undefined for what is not a duration. */
export function readRetryAfterMs(ms: unknown): number | undefined {
  if (typeof ms !== 'number' || !(ms >= 0)) return undefined
  return Math.min(Math.ceil(ms), LONGEST_RETRY_AFTER_MS)
}

/**
 * An error that carries a problem. A handler throws it to fail its operation for good with the
 * HTTP status of its choice, or, with `retryAfter`, to be run again after that time while
 * attempts are left.
 *
 * @example
 * throw new ProblemError({ status: 422, title: 'Out of stock', detail: 'No apples left.' })
 * @example
 * throw new ProblemError({ status: 503, title: 'The shop is closed' }, { retryAfter: '1m' })
 */
export class ProblemError extends Error {
  static {
    markInstances(ProblemError, 'waybill.ProblemError')
  }

  override readonly name: string = 'ProblemError'
  /** Plain JSON of what was given, at most {@link MAX_PROBLEM_BYTES} of it. */
  readonly problem: Problem
  /** In milliseconds; undefined where the failure is final. */
  readonly retryAfterMs: number | undefined

  /**
   * @param init the problem that is sent to the client. Values that JSON cannot hold are replaced or left out: big
   * integers become strings. Of more than 16 KiB the end is left out.
   * @param options what is not sent to the client
   * @throws {RangeError} for a status outside 400 to 599
   * @throws {TypeError} for a `retryAfter` that is not a duration, or if `init` has `retryAfter` or `cause`
   */
  constructor(init: ProblemInit, options: ProblemErrorOptions = {}) {
    const problem = plainProblem(init)
    super(problem.detail ?? problem.title, { cause: options.cause })
    for (const name of ['retryAfter', 'cause'] as const) {
      if (name in init)
        throw new TypeError(`${name} does not belong to the problem: write new ProblemError({ … }, { ${name} }).`)
    }
    const { status = 500 } = init
    if (!isErrorStatus(status)) {
      throw new RangeError(`A problem's status must be a whole number from 400 to 599, not ${String(status)}.`)
    }
    if ('retryAfterMs' in options)
      throw new TypeError('ProblemError: the option "retryAfterMs" is now called "retryAfter".')
    const { retryAfter } = options
    const bounds = { max: Number.MAX_VALUE }
    this.problem = problem
    this.retryAfterMs =
      retryAfter === undefined ? undefined : readRetryAfterMs(durationMs('retryAfter', retryAfter, bounds))
  }
}

/** Makes an error of a kind from the table: {@link problem} as something to throw. */
export function problemError(
  code: ProblemCode,
  detail?: string,
  options: ProblemErrorOptions & { readonly extensions?: Record<string, unknown> } = {},
): ProblemError {
  return new ProblemError(problem(code, detail, options.extensions), options)
}
