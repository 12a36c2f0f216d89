import type { Problem } from '../protocol.ts'

/**
 * Why a wait ended without a result.
 * - `operation-failed`, `operation-canceled`: an {@link OperationError}; the operation has ended.
 * - `refused`: the request, or a poll, was answered with a status that asking again does not cure.
 * - `gone`: the status URL or the result URL answers 404 or 410.
 * - `no-location`: a 202 that does not say where its status is.
 * - `timed-out`: `timeoutMs` passed; the operation goes on, and `attach` picks it up.
 * - `unreachable`: too many polls in a row failed; the operation may go on, and `attach` picks it up.
 */
export type WaitErrorCode =
  | 'operation-failed'
  | 'operation-canceled'
  | 'refused'
  | 'gone'
  | 'no-location'
  | 'timed-out'
  | 'unreachable'

/** What is known where a wait ends without a result. */
export interface WaitErrorDetails {
  /** The answer that ended the wait, where one did; its body can be read. */
  readonly response?: Response | undefined
  /** What that answer said is wrong, as a problem detail (RFC 9457) whatever its form was. */
  readonly problem?: Problem | undefined
  /** Where the operation's status is, for `attach`; undefined where no operation was accepted. */
  readonly statusUrl?: string | undefined
}

/** A wait that ended without a result. `code` is for programs, `message` for people; `cause` is a network error. */
export class WaitError extends Error implements WaitErrorDetails {
  override readonly name: string = 'WaitError'
  readonly code: WaitErrorCode
  declare readonly response: Response | undefined
  declare readonly problem: Problem | undefined
  declare readonly statusUrl: string | undefined

  constructor(code: WaitErrorCode, message: string, details: WaitErrorDetails, cause?: unknown) {
    super(message, { cause })
    Object.assign(this, details)
    this.code = code
  }
}

/** An operation that ended `failed` or `canceled`, and why. */
export class OperationError extends WaitError {
  override readonly name: string = 'OperationError'
  declare readonly response: Response
  declare readonly problem: Problem
  readonly status: 'failed' | 'canceled'
  /** The operation's id, where the server told it. */
  readonly id: string | undefined

  constructor(
    status: 'failed' | 'canceled',
    id: string | undefined,
    details: WaitErrorDetails & { response: Response; problem: Problem },
  ) {
    const { title, detail = '' } = details.problem
    super(`operation-${status}`, `Operation ${id} ${status}: ${title} ${detail}`, details)
    this.status = status
    this.id = id
  }
}
