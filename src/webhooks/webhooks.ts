/**
 * Webhooks: report the end of an operation to a URL that its client has named (Standard Webhooks 1.0.0). A delivery is
 * itself a durable operation, retried over days, with its own history.
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

/** The parts of the composition that {@link Webhooks} needs. */
export interface WebhooksContext {
  readonly store: OperationStore & WorkQueue
  readonly operations: Operations
  readonly logger: Logger
}

/** How long after the death of a process its deliveries are claimed again. Sending takes no longer than the timeout. */
const LEASE_MS = 30_000
/** The extra time of an attempt, besides the sending, before the worker stops it. */
const MARGIN_MS = 10_000
/** How long a delivery may wait for its turn after it was claimed. */
const TURN_MS = 3_600_000
/** How many deliveries are claimed for each one that is sent. The queue chooses fairly among the claimed ones. */
const CLAIMED_PER_SLOT = 10
/** The most that are claimed at once by default. */
const MOST_CLAIMED = 10_000

/**
 * The history of deliveries in a process that delivers none. It needs no secrets to read deliveries, or to add one,
 * which a process with the secrets then sends.
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
  /** The history of deliveries. */
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
      // The runner logs what an operator should know about a delivery. A failing receiver is not a fault of this
      // service.
      logEnds: false,
      isOwn: true,
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

  /** Begins to deliver, including what became due while no process ran. The store must be open. */
  async start(): Promise<void> {
    await this.#worker.start()
    this.#outbox.start()
  }

  async stop(): Promise<void> {
    await this.#outbox.stop()
    await this.#worker.stop()
  }

  /**
   * Checks a URL by the rules, as far as that is possible without DNS. At each attempt it is checked again, with every
   * address of its host.
   *
   * @returns the URL to store
   * @throws {ProblemError} `invalid-webhook-url`; its detail says what is wrong with it
   */
  checkUrl(text: string): string {
    return readWebhookUrl(text, this.#options.rules).href
  }

  /**
   * The deliveries of an operation with their attempts, oldest first; none before it has ended, or if it has no webhook
   * URL. They are kept for the retention of deliveries, even after the operation itself was deleted.
   *
   * @throws {ProblemError} `not-found` for what is not the owner's, `operation-expired`
   */
  async deliveries(id: string, owner: string): Promise<readonly Delivery[]> {
    return await orUnavailable(this.history.deliveries(id, owner))
  }

  /**
   * Sends the event of an operation once more, at once: the same bytes to the same URL under the same
   * `webhook-id`, as a new delivery with retries of its own. A delivery that still waits for a retry is canceled.
   * Simultaneous calls count as one.
   *
   * @throws {ProblemError} `not-found` for what is not the owner's, `operation-expired`, `no-webhook`,
   * `not-finished`, `too-many-requests` after 20 times
   */
  async redeliver(id: string, owner: string): Promise<Delivery> {
    return await orUnavailable(this.history.redeliver(id, owner))
  }
}

/**
 * Checks the `Webhook-Url` of a request before the request is accepted.
 *
 * @param webhooks those of the composition, if it has any @param text the header's value; undefined without the header
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
  // A header that is sent twice arrives as one value with a space, and other characters than ASCII arrive as others.
  if (!/^[!-~]*$/.test(text)) throw problemError('invalid-webhook-url', 'It contains a character that must be encoded.')
  return webhooks.checkUrl(text)
}
