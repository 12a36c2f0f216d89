/**
 * Webhooks: the end of an operation, told to a URL that its client has named (Standard Webhooks
 * 1.0.0). A delivery is itself a durable operation, retried over days, with its own history.
 *
 * @example
 * createWaybill({ operations, store, webhooks: { secrets: ['whsec_…'] } })
 */

import type { AnyOperationType } from '../model/operation-type.ts'
import { problemError } from '../model/problem.ts'
import type { Operations } from '../service/operations.ts'
import { orUnavailable } from '../service/unavailable.ts'
import type { OperationStore, WorkQueue } from '../stores/store.ts'
import type { Logger } from '../util/logger.ts'
import type { Loop } from '../util/loop.ts'
import { Worker } from '../worker/worker.ts'
import { readWebhookUrl } from './addresses.ts'
import { DELIVERY_TYPE, deliveryType } from './delivery.ts'
import { DeliveryRunner } from './delivery-runner.ts'
import { FairQueue } from './fair-queue.ts'
import { type Delivery, History } from './history.ts'
import { Outbox } from './outbox.ts'
import { readWebhookOptions, type WebhooksOptions, type WebhooksSettings } from './webhooks-options.ts'

/** What {@link Webhooks} need of the composition. */
export interface WebhooksContext {
  readonly store: OperationStore & WorkQueue
  readonly operations: Operations
  readonly logger: Logger
}

/** A delivery may come back to a process this long after it died; its sending takes no longer than the timeout. */
const LEASE_MS = 30_000
/** What an attempt may take beside the sending before the worker stops it. */
const MARGIN_MS = 10_000
/** How long a delivery may wait for its turn after it was claimed. */
const TURN_MS = 3_600_000
/** For each one that is sent, this many are claimed. Among the claimed ones the queue chooses fairly. */
const CLAIMED_PER_SLOT = 10
/** More are not claimed at once by default. */
const MOST_CLAIMED = 10_000

/**
 * The history of deliveries where this process delivers none: it needs no secret to read them, nor to add one, which a
 * process that has the secrets then sends.
 */
export function historyAlone({ store, operations }: Omit<WebhooksContext, 'logger'>): History {
  const type = typeOf(readWebhookOptions({ secrets: () => [] }))
  return new History({ store, operations, type, baseUrl: undefined })
}

function typeOf({ retriesMs, timeoutMs, retentionMs }: WebhooksSettings): AnyOperationType {
  const timeout = TURN_MS + timeoutMs + MARGIN_MS
  return deliveryType({ attempts: retriesMs.length + 1, timeout, retention: retentionMs })
}

export class Webhooks {
  readonly #options: WebhooksSettings
  readonly #outbox: Outbox
  readonly #worker: Worker
  /** What became of deliveries. */
  readonly history: History

  /** @throws {TypeError} for options that cannot be right; the message names them, and never holds a secret */
  constructor(init: WebhooksOptions, { store, operations, logger }: WebhooksContext) {
    if (operations.types.has(DELIVERY_TYPE)) {
      throw new TypeError(`The name "${DELIVERY_TYPE}" is reserved for deliveries of webhooks.`)
    }
    this.#options = readWebhookOptions(init)
    const { baseUrl, pollIntervalMs, concurrency, shutdownMs } = this.#options
    const type = typeOf(this.#options)
    this.#outbox = new Outbox({ store, type, baseUrl, pollIntervalMs, logger })
    this.history = new History({ store, operations, type, baseUrl })
    const claimed = Math.min(concurrency * CLAIMED_PER_SLOT, MOST_CLAIMED)
    this.#worker = new Worker({
      store,
      types: [type],
      name: 'webhooks',
      logger,
      // The runner says what an operator should know of a delivery: that a receiver fails is not a fault of this service.
      logEnds: false,
      runner: new DeliveryRunner(this.#options, logger, new FairQueue({ slots: concurrency, room: claimed })),
      concurrency: claimed,
      leaseMs: LEASE_MS,
      graceMs: 1000,
      shutdownMs,
      pollIntervalMs: pollIntervalMs,
    })
  }

  /** The loops, for health checks. */
  get loops(): readonly Loop[] {
    return [this.#outbox.loop, ...this.#worker.loops]
  }

  /** Begins to deliver, also what came due while no process ran. The store is open. */
  async start(): Promise<void> {
    await this.#worker.start()
    this.#outbox.start()
  }

  async stop(): Promise<void> {
    await this.#outbox.stop()
    await this.#worker.stop()
  }

  /**
   * Holds a URL against the rules, as far as that can be told without DNS: at each attempt it is
   * checked again, with every address of its host.
   *
   * @returns the URL as it is to be kept
   * @throws {ProblemError} `invalid-webhook-url`; its detail says what is wrong with it
   */
  checkUrl(text: string): string {
    return readWebhookUrl(text, this.#options.rules).href
  }

  /**
   * The deliveries of an operation with their attempts, oldest first; none before it has ended, or where it
   * names no URL. They are kept for the retention of deliveries, also when the operation itself is gone.
   *
   * @throws {ProblemError} `not-found` for what is not the owner's, `operation-expired`
   */
  async deliveries(id: string, owner: string): Promise<readonly Delivery[]> {
    return await orUnavailable(this.history.deliveries(id, owner))
  }

  /**
   * Sends the event of an operation once more, at once: the same bytes to the same URL under the same
   * `webhook-id`, as a new delivery with retries of its own. A delivery that still waits for a retry is
   * canceled. Of several calls in the same moment one counts.
   *
   * @throws {ProblemError} `not-found` for what is not the owner's, `operation-expired`, `no-webhook`,
   * `not-finished`, `too-many-requests` after 20 times
   */
  async redeliver(id: string, owner: string): Promise<Delivery> {
    return await orUnavailable(this.history.redeliver(id, owner))
  }
}

/**
 * Decides at the door whether a request's `Webhook-Url` is taken.
 *
 * @param webhooks those of the composition, if it has any
 * @param text the header's value; without one nothing is decided
 * @returns the URL to keep with the operation
 * @throws {ProblemError} `webhooks-not-allowed`, `invalid-webhook-url`
 */
export function admitWebhookUrl(
  webhooks: Webhooks | undefined,
  type: AnyOperationType,
  text: string | undefined,
): string | undefined {
  if (text === undefined) return undefined
  if (webhooks === undefined || !type.policy.allowWebhooks) throw problemError('webhooks-not-allowed')
  return webhooks.checkUrl(text)
}
