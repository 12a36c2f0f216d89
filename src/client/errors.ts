import { isFinal, type Problem } from '../model/protocol.ts'
import type { WebResponse } from '../model/web-types.ts'
import { type Answer, problemOf } from './status.ts'

/**
 * Why a wait ended without a result.
 * - `failed`, `canceled`: an {@link OperationError}; the operation has ended.
 * - `refused`: the request, or a poll, was answered with a status that asking again does not cure.
 * - `gone`: the status URL or the result URL answers 404 or 410.
 * - `no-location`: a 202 that does not say where its status is, or not to this origin.
 * - `timed-out`: `timeoutMs` passed; the operation goes on, and `attach` picks it up.
 * - `unreachable`: too many requests in a row failed; the operation may go on, and `attach` picks it up.
 */
export type WaitErrorCode = 'failed' | 'canceled' | 'refused' | 'gone' | 'no-location' | 'timed-out' | 'unreachable'

/** What is known where a wait ends without a result. */
export interface WaitErrorDetails {
  readonly code: WaitErrorCode
  /** The answer that ended the wait, where one did; its body can be read. */
  readonly response?: WebResponse | undefined
  /** What that answer said is wrong, as a problem detail (RFC 9457) whatever its form was. */
  readonly problem?: Problem | undefined
  /** Where the operation's status is, for `attach`; empty where no operation was accepted. */
  readonly statusUrl: string
  /** The operation's id, where that answer told it. */
  readonly id?: string | undefined
  /** What the network or the parser said. */
  readonly cause?: unknown
}

/** On the errors of every copy of this package in a program: `instanceof` looks for it. */
const MARK: unique symbol = Symbol.for('waybill.WaitError') as never

/**
 * The error of a wait that ended without a result. `code` is for programs, `message` for people.
 *
 * @example
 * import { fetchAndWait, WaitError } from 'waybill/client'
 *
 * try {
 *   await fetchAndWait('https://api.example.com/orders', { method: 'POST', body: '{}' })
 * } catch (error) {
 *   if (error instanceof WaitError) console.log(error.code, error.problem?.status) // refused 415
 * }
 */
export class WaitError extends Error implements WaitErrorDetails {
  declare readonly code: WaitErrorCode
  declare readonly response: WebResponse | undefined
  declare readonly problem: Problem | undefined
  declare readonly statusUrl: string
  declare readonly id: string | undefined

  /** Also an error of another copy of this package is one. */
  static override [Symbol.hasInstance](error: unknown): boolean {
    return MARK in Object(error)
  }

  constructor(message: string, details: WaitErrorDetails) {
    super(message)
    Object.assign(this, details)
  }

  get [MARK](): true {
    return true
  }
}

/**
 * The error of an operation that ended `failed` or `canceled`. `problem` says why.
 *
 * @example
 * import { client, OperationError } from 'waybill/client'
 * import { orders } from './orders.ts'
 *
 * const api = client({ orders }, { baseUrl: 'https://api.example.com' })
 * const order = await api.orders.submit({ customer: 'Contoso', items: [{ name: 'Unicorn', quantity: 1 }] })
 * try {
 *   await order.result()
 * } catch (error) {
 *   if (error instanceof OperationError) console.log(error.code, error.problem.title) // failed Out of stock
 * }
 */
export class OperationError extends WaitError {
  static override [Symbol.hasInstance](error: unknown): boolean {
    return MARK in Object(error) && isFinal((error as WaitError).code)
  }

  declare readonly code: 'failed' | 'canceled'
  declare readonly response: WebResponse
  declare readonly problem: Problem
  /** The same as `code`. */
  get status(): 'failed' | 'canceled' {
    return this.code
  }
}

/** The error that an answer from `url` amounts to, or the lack of one. */
export function waitError(
  code: WaitErrorCode,
  url: string,
  statusUrl: string,
  answer?: Answer,
  cause?: unknown,
): WaitError {
  const problem = answer && problemOf(answer)
  const message = `${code}: ${url} ${problem?.title ?? ''} ${problem?.detail ?? ''}`
  return new (isFinal(code) ? OperationError : WaitError)(message, {
    code,
    response: answer?.response,
    problem,
    statusUrl,
    id: answer?.body.id,
    cause,
  })
}
