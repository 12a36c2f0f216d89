/** The content of a webhook: a thin event (Standard Webhooks 1.0.0), which says that an operation has ended and how. */
import type { Operation } from '../model/operation.ts'
import { type Links, linksOf, type Problem } from '../model/protocol.ts'

/**
 * The body of a webhook. It never holds the input or the result: the receiver requests these with its own credentials.
 */
export interface WebhookEvent {
  /** The operation type with `_` for `-`, and the status: `orders.completed`, `pdf_exports.failed`. */
  readonly type: string
  /** When the operation ended. */
  readonly timestamp: string
  readonly data: {
    readonly id: string
    /** The operation type's name. */
    readonly operation: string
    readonly status: 'completed' | 'failed' | 'canceled'
    /** URLs of the operation; only if `baseUrl` is set. */
    readonly links?: Links
    /** Why it failed or was canceled. */
    readonly error?: Problem
  }
}

/** Standard Webhooks asks for less than 20 kB. */
const MAX_BODY_BYTES = 20_000

/**
 * The id of an operation's event. It is the same in all retries and redeliveries, so that receivers recognize the
 * event.
 */
export function eventId(operationId: string): string {
  return `msg_${operationId}`
}

/**
 * The event of an operation that has ended, as JSON text. If an error would make it larger than 20 kB, only `type`,
 * `title`, `status` and `code` are included, or nothing.
 */
export function eventBody(operation: Operation, baseUrl: string | undefined): string {
  const { error } = operation
  const write = (told: Problem | undefined) => JSON.stringify(eventOf(operation, baseUrl, told))
  if (error === null) return write(undefined)
  const fits = (body: string) => Buffer.byteLength(body) < MAX_BODY_BYTES
  return [error, brief(error)].map(write).find(fits) ?? write(undefined)
}

function eventOf(operation: Operation, baseUrl: string | undefined, error: Problem | undefined): WebhookEvent {
  const { id, type, status, finishedAt, updatedAt } = operation
  return {
    type: `${type.replaceAll('-', '_')}.${status}`,
    timestamp: new Date(finishedAt ?? updatedAt).toISOString(),
    data: {
      id,
      operation: type,
      status: status as WebhookEvent['data']['status'],
      ...(baseUrl !== undefined && { links: linksOf(baseUrl, type, id) }),
      ...(error !== undefined && { error }),
    },
  }
}

function brief({ type, title, status, code }: Problem): Problem {
  return { type, title, status, ...(code !== undefined && { code }) }
}
