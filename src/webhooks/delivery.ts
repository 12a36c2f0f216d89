/** A delivery as an operation of its own: durable, retried and kept like any other. */
import { createHash } from 'node:crypto'
import { v7 as uuidv7 } from 'uuid'
import type { Operation } from '../model/operation.ts'
import { type AnyOperationType, defineOperation } from '../model/operation-type.ts'
import type { Submission } from '../model/submission.ts'

/** The name of the operation type; it is not served over HTTP. */
export const DELIVERY_TYPE = 'webhook-deliveries'

/** How often the event of an operation can be redelivered. */
export const MAX_REDELIVERIES = 20

/** The input of a delivery: everything that its attempts need, with the exact bytes of the body. */
export interface DeliveryInput {
  /** The operation whose end is reported. */
  readonly operation: string
  /** Its owner. */
  readonly owner: string
  readonly url: string
  /** The `webhook-id`. */
  readonly event: string
  readonly body: string
}

/** The output of a delivery. */
export interface DeliveryOutput {
  /** The HTTP status of the receiver's answer. */
  readonly answerStatus: number
}

/** Declares the operation type. Durations in milliseconds. */
export function deliveryType(policy: { attempts: number; timeout: number; retention: number }): AnyOperationType {
  return defineOperation({ name: DELIVERY_TYPE, lostAttempts: 100, ...policy })
}

/**
 * The id of an operation's nth delivery, from 0: a UUID version 7 with the operation's time, and a
 * digest instead of random bits. Every process that makes the delivery gives it the same id, so it exists only once.
 * The deliveries of an operation are found by their ids, even after its own record was deleted.
 */
export function deliveryId(operationId: string, number: number): string {
  const msecs = Number.parseInt(operationId.replaceAll('-', '').slice(0, 12), 16)
  const digest = createHash('sha256').update(`${DELIVERY_TYPE}/${operationId}/${number}`).digest()
  return uuidv7({ msecs, random: digest.subarray(0, 16), seq: digest.readUInt32BE(16) })
}

/** The submission of an operation's nth delivery. */
export function deliverySubmission(
  type: AnyOperationType,
  input: DeliveryInput,
  { number, traceparent }: { number: number } & Pick<Operation, 'traceparent'>,
): Submission {
  const { policy } = type
  return {
    id: deliveryId(input.operation, number),
    type: type.name,
    owner: input.owner,
    priority: policy.priority,
    input: JSON.stringify(input),
    maxAttempts: policy.attempts,
    maxLost: policy.lostAttempts,
    retention: policy.retention,
    startWithin: null,
    delay: 0,
    idempotencyKey: `${input.operation}/${number}`,
    fingerprint: null,
    traceparent,
    webhookUrl: null,
  }
}
