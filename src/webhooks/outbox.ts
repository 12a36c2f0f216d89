/**
 * The outbox: for each operation that has ended and has a webhook, accepts one delivery. Any number of processes may do
 * this, and may die while they do: the delivery's id is made from the operation's id, so a repeated acceptance gives
 * the same delivery, and an operation stays due until it is marked.
 */

import type { Operation } from '../model/operation.ts'
import type { AnyOperationType } from '../model/operation-type.ts'
import { SharedLook } from '../stores/shared-look.ts'
import type { Hint, OperationStore, WorkQueue } from '../stores/store.ts'
import type { Logger } from '../util/logger.ts'
import { Loop } from '../util/loop.ts'
import { type DeliveryInput, deliverySubmission } from './delivery.ts'
import { eventBody, eventId } from './webhook-event.ts'

/** Options of an {@link Outbox}. */
export interface OutboxOptions {
  readonly store: OperationStore & Pick<WorkQueue, 'webhooksDue' | 'tellIdle'>
  readonly type: AnyOperationType
  readonly baseUrl: string | undefined
  /** The longest time between two turns when no hint comes, in milliseconds. */
  readonly pollIntervalMs: number
  readonly logger: Logger
}

/** How many operations one turn takes. */
const BATCH = 200
/**
 * The store sends a hint for every change of every operation. One check is enough for all hints within this time, in
 * milliseconds.
 */
const DEBOUNCE_MS = 20

export class Outbox {
  readonly #options: OutboxOptions
  readonly #loop: Loop
  readonly #look: SharedLook
  #unwatch: () => void = () => {}
  #debounce: NodeJS.Timeout | undefined

  constructor(options: OutboxOptions) {
    this.#options = options
    this.#loop = new Loop({
      name: 'webhooks',
      everyMs: options.pollIntervalMs,
      turn: () => this.#turn(),
      onError: (error, loop) =>
        options.logger.warn({ err: error, loop }, 'Could not submit deliveries of webhooks; will retry'),
    })
    this.#look = new SharedLook(options.store, this.#loop)
  }

  get loop(): Loop {
    return this.#loop
  }

  start(): void {
    // Most processes that end operations have an outbox of their own, which is notified first.
    const hinted = ({ kind }: Hint) => {
      if (kind === 'ended' || kind === 'unknown') this.#wakeSoon()
    }
    this.#unwatch = this.#options.store.watch(hinted, 'rarely')
    this.#look.start()
    this.#loop.start()
  }

  async stop(): Promise<void> {
    this.#unwatch()
    this.#look.stop()
    clearTimeout(this.#debounce)
    await this.#loop.stop()
  }

  #wakeSoon(): void {
    this.#debounce ??= setTimeout(() => {
      this.#debounce = undefined
      this.#loop.wake()
    }, DEBOUNCE_MS).unref()
  }

  async #turn(): Promise<void> {
    const due = await this.#options.store.webhooksDue(BATCH)
    const settled = await Promise.allSettled(due.map(operation => this.#handOn(operation)))
    for (const result of settled) if (result.status === 'rejected') throw result.reason
    if (due.length === BATCH) this.#loop.wake()
    this.#look.looked('webhooks', { foundNothing: due.length === 0 })
  }

  async #handOn(operation: Operation): Promise<void> {
    const { store, type, baseUrl } = this.#options
    const input = deliveryInput(operation, baseUrl)
    if (input !== undefined) {
      await store.accept(deliverySubmission(type, input, { number: 0, traceparent: operation.traceparent }))
    }
    await store.change(operation.id, { kind: 'webhook-accepted' })
  }
}

/** The delivery of an operation; undefined if the operation has no webhook URL. */
export function deliveryInput(operation: Operation, baseUrl: string | undefined): DeliveryInput | undefined {
  const { id, owner, webhookUrl } = operation
  if (webhookUrl === null) return undefined
  return { operation: id, owner, url: webhookUrl, event: eventId(id), body: eventBody(operation, baseUrl) }
}
