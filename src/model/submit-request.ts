/** Turns a request to submit into the submission that a store accepts. */

import { newId } from '../util/new-id.ts'
import { type Duration, durationMs, LONGEST_MS } from './duration.ts'
import { fingerprint } from './json.ts'
import type { AnyOperationType } from './operation-type.ts'
import type { Submission, SubmissionLimits } from './submission.ts'

/** A request to submit an operation. */
export interface SubmitRequest {
  /** The parsed input. */
  readonly input: unknown
  /** The input as JSON, if the caller has it already: then it is not serialized again. */
  readonly text?: string
  /** The owner of the operation. Default: the empty string, which stands for no owner in particular. */
  readonly owner?: string
  /** 1 to 255 characters. */
  readonly idempotencyKey?: string | undefined
  /** W3C trace context. */
  readonly traceparent?: string | undefined
  /** The URL that receives a webhook when the operation has ended. */
  readonly webhookUrl?: string | undefined
  /** How long after the acceptance the work may begin, up to 10 years. Default 0: at once. */
  readonly delay?: Duration | undefined
  /**
   * A client of the store's database on which the caller has begun a transaction. The commit accepts the operation
   * together with everything else that the transaction writes; a rollback discards it. Only for a store that can join a
   * transaction.
   */
  readonly transaction?: unknown
}

/** The submission of a request. */
export function toSubmission(type: AnyOperationType, request: SubmitRequest, key: string | null): Submission {
  const { policy } = type
  return {
    id: newId(),
    type: type.name,
    owner: request.owner ?? '',
    priority: policy.priority,
    input: request.text ?? JSON.stringify(request.input ?? null),
    maxAttempts: policy.attempts,
    maxLost: policy.lostAttempts,
    retention: policy.retention,
    startWithin: policy.startDeadline ?? null,
    endWithin: policy.deadline,
    delay: durationMs('delay', request.delay ?? 0, { max: LONGEST_MS }),
    idempotencyKey: key,
    fingerprint: key === null ? null : fingerprint(request.input),
    traceparent: request.traceparent ?? null,
    webhookUrl: request.webhookUrl ?? null,
    limits: limitsOf(policy),
  }
}

function limitsOf({ inFlightLimit, backlogLimit }: AnyOperationType['policy']): SubmissionLimits | undefined {
  if (inFlightLimit === undefined && backlogLimit === undefined) return undefined
  return { inFlight: inFlightLimit, backlog: backlogLimit }
}
