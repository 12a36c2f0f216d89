/** Why one attempt to deliver a webhook failed. */
import { problem } from '../model/problem.ts'
import type { Problem } from '../model/protocol.ts'

/**
 * `url`: the rules do not allow it (any more). `address`: its host has no address, or one that is
 * refused. `connection`: no connection, or it broke. `timeout`: no answer in time.
 * `answer`: an answer that is not 2xx; `redirect` and `gone` are the answers 3xx and 410.
 * `internal`: the fault is ours.
 */
export const FAILURE_REASONS = [
  'url',
  'address',
  'connection',
  'timeout',
  'answer',
  'redirect',
  'gone',
  'internal',
] as const
export type FailureReason = (typeof FAILURE_REASONS)[number]

/** An attempt has failed. The operation's owner sees the message, but not the cause. */
export class DeliveryError extends Error {
  override readonly name = 'DeliveryError'
  readonly reason: FailureReason

  constructor(reason: FailureReason, message: string, options?: ErrorOptions) {
    super(message, options)
    this.reason = reason
  }
}

/** The problem that is kept with the attempt: the reason, and the HTTP status where there was an answer. */
export function notDelivered(error: DeliveryError, answerStatus?: number): Problem {
  const { reason, message } = error
  return problem('webhook-not-delivered', message, { reason, ...(answerStatus !== undefined && { answerStatus }) })
}

/** The HTTP status of the receiver's answer in such a problem. */
export function answerStatusOf(error: Problem | null): number | undefined {
  return typeof error?.answerStatus === 'number' ? error.answerStatus : undefined
}
