/**
 * Problems (RFC 9457) as values and as errors to throw: those of the table in `problem-kinds.ts`, and those that
 * handlers make.
 */
import { markInstances } from '../util/brand.ts'
import { cutToJsonBytes, type Json, jsonBytes, readMember, toPlainJson } from '../util/plain-json.ts'
import { type Duration, durationMs } from './duration.ts'
import { PROBLEM_TYPE_PREFIX, PROBLEMS, type ProblemCode, type ProblemKind } from './problem-kinds.ts'
import type { InputError, Problem } from './protocol.ts'

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

/** What a problem is made from, when a handler or an option such as `principal` reports a failure. */
export interface ProblemInit {
  /**
   * The HTTP status the result URL answers with: 400 to 599. Default 500. A status that describes the HTTP exchange and
   * not the operation (401, 405, 407, 408, 412, 416, 417, 421, 425, 426, 511) appears only in the problem: the result
   * URL answers 422 instead, and 500 instead of 511.
   */
  readonly status?: number
  /** Default `about:blank`, which means that the status says all there is to say. */
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

/** The HTTP status of the result URL of an operation that failed with this problem. */
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
/**
 * For the history of attempts: a problem with more than `BRIEF_BYTES` bytes is shortened, its detail to `BRIEF_DETAIL`
 * characters.
 */
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

/**
 * Makes a problem small enough for the history: if it has more than 1 KiB, its extensions are dropped and its detail is
 * cut.
 */
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
  // toPlainJson returns a string for an object that it cannot read; a string has no members.
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
  /** The problem as plain JSON, at most {@link MAX_PROBLEM_BYTES} bytes. */
  readonly problem: Problem
  /** The time until the next attempt, in milliseconds; undefined where the failure is final. */
  readonly retryAfterMs: number | undefined

  /**
   * @param init the problem that is sent to the client. Values that JSON cannot hold are replaced or left out: big
   * integers become strings. If it has more than 16 KiB, the rest is left out.
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
