import { isFinal, type Problem } from '../model/protocol.ts'
import type { WebResponse } from '../model/web-types.ts'
import { type Answer, problemOf } from './status.ts'

/**
 * Why a wait ended without a result.
 * - `failed`, `canceled`: an {@link OperationError}; the operation has ended.
 * - `refused`: the request, or a poll, was answered with a status that a retry does not fix.
 * - `gone`: the status URL or the result URL answers 404 or 410.
 * - `no-location`: a 202 that does not say where its status is, or not to this origin.
 * - `timed-out`: `timeout` has passed; the operation continues, and `attach` resumes the wait.
 * - `unreachable`: too many requests in a row failed; the operation may continue, and `attach` resumes the wait.
 */
export type WaitErrorCode = 'failed' | 'canceled' | 'refused' | 'gone' | 'no-location' | 'timed-out' | 'unreachable'

/** What is known when a wait ends without a result. */
export interface WaitErrorDetails {
  readonly code: WaitErrorCode
  /** The response that ended the wait, if one did; its body can be read. */
  readonly response?: WebResponse | undefined
  /** What that response said is wrong, as a problem detail (RFC 9457) whatever its format was. */
  readonly problem?: Problem | undefined
  /** The operation's status URL, for `attach`; empty if no operation was accepted. */
  readonly statusUrl: string
  /** The operation's id, if that response contained it. */
  readonly id?: string | undefined
  /** The error of the network or the parser. */
  readonly cause?: unknown
}

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

  /** An error of another copy of this package is one too: its members decide, not its class. */
  static override [Symbol.hasInstance](error: unknown): boolean {
    return 'statusUrl' in Object(error)
  }

  constructor(message: string, details: WaitErrorDetails) {
    super(message)
    Object.assign(this, details)
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
  /** A `WaitError` whose code is `failed` or `canceled`, whatever its class. */
  static override [Symbol.hasInstance](error: unknown): boolean {
    return error instanceof WaitError && isFinal(error.code)
  }

  declare readonly code: 'failed' | 'canceled'
  declare readonly response: WebResponse
  declare readonly problem: Problem
}

/**
 * Creates the error for an answer, or for a missing answer. It is a `WaitError` by its members. The class is not named
 * here, so that only a page that imports it has to load it.
 */
export function waitError(code: WaitErrorCode, statusUrl: string, answer?: Answer, cause?: unknown): WaitError {
  const problem = answer && problemOf(answer)
  const said = [code, answer?.response.url ?? statusUrl, problem?.title, problem?.detail].filter(part => part)
  const details = { code, response: answer?.copy(), problem, statusUrl, id: answer?.body.id, cause }
  return Object.assign(new Error(said.join(': ')), details)
}
