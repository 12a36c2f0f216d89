/** The deliveries of an operation's webhook, and how the webhook is sent again. */
import type { Attempt, Operation } from '../model/operation.ts'
import type { AnyOperationType } from '../model/operation-type.ts'
import { problemError } from '../model/problem.ts'
import { isFinal, type Status } from '../model/protocol.ts'
import type { Operations } from '../service/operations.ts'
import { acceptedOperation, type OperationStore } from '../stores/store.ts'
import {
  DELIVERY_TYPE,
  type DeliveryInput,
  type DeliveryOutput,
  deliveryId,
  deliverySubmission,
  MAX_REDELIVERIES,
} from './delivery.ts'
import { answerStatusOf } from './failure.ts'
import { deliveryInput } from './outbox.ts'

/** One delivery, itself an operation. Times are milliseconds since the epoch, by the store's clock. */
export interface Delivery {
  readonly id: string
  /** 0 for the first delivery; redeliveries follow. */
  readonly number: number
  /** The `webhook-id`, which all deliveries of an operation share. */
  readonly event: string
  readonly url: string
  /** `completed`: the receiver took it. `failed`: given up. `canceled`: a redelivery took its place. */
  readonly status: Status
  readonly createdAt: number
  /** When the next attempt is due, if it waits for one. */
  readonly nextAttemptAt: number | null
  readonly finishedAt: number | null
  /** The attempts that have ended, the oldest first. */
  readonly attempts: readonly DeliveryAttempt[]
}

/** One attempt of a delivery. */
export interface DeliveryAttempt extends Pick<Attempt, 'number' | 'startedAt' | 'finishedAt' | 'outcome' | 'error'> {
  /** The HTTP status of the receiver's answer; null where there was none. */
  readonly answerStatus: number | null
}

/** Options of {@link History}. */
export interface HistoryOptions {
  readonly store: OperationStore
  readonly operations: Operations
  readonly type: AnyOperationType
  readonly baseUrl: string | undefined
}

interface Known {
  readonly number: number
  readonly record: Operation
  readonly input: DeliveryInput
}

export class History {
  readonly #options: HistoryOptions

  constructor(options: HistoryOptions) {
    this.#options = options
  }

  async deliveries(id: string, owner: string): Promise<readonly Delivery[]> {
    const deliveries = await this.list(id, owner)
    if (deliveries.length === 0) await this.#options.operations.find(id, owner)
    return deliveries
  }

  /** The same, and also none for an unknown operation. */
  async list(id: string, owner: string): Promise<readonly Delivery[]> {
    const known = await this.#known(id, owner)
    return await Promise.all(known.map(it => this.#describe(it)))
  }

  /** @param since a delivery that was accepted since then is returned, and nothing is sent */
  async redeliver(id: string, owner: string, since: number = Number.POSITIVE_INFINITY): Promise<Delivery> {
    const known = await this.#known(id, owner)
    const last = known.at(-1)
    if (last !== undefined && last.record.createdAt >= since) return await this.#describe(last)
    const number = last === undefined ? 0 : last.number + 1
    if (number > MAX_REDELIVERIES) {
      throw problemError(
        'too-many-requests',
        `The webhook was sent again ${MAX_REDELIVERIES} times, which is the limit.`,
      )
    }
    const input = last?.input ?? (await this.#firstInput(id, owner))
    const traceparent = last?.record.traceparent ?? null
    const { store, type } = this.#options
    const acceptance = await store.accept(deliverySubmission(type, input, { number, traceparent }))
    const superseded = known.filter(({ record }) => !isFinal(record.status))
    await Promise.all(superseded.map(({ record }) => store.change(record.id, { kind: 'cancel' })))
    return await this.#describe({ number, record: acceptedOperation(acceptance), input })
  }

  /** The deliveries of an operation that belong to the owner, oldest first. */
  async #known(id: string, owner: string): Promise<readonly Known[]> {
    if (!isUuid(id)) return []
    const { store } = this.#options
    const all = Array.from({ length: MAX_REDELIVERIES + 1 }, async (_, number): Promise<Known | undefined> => {
      const record = await store.read(deliveryId(id, number))
      if (record?.type !== DELIVERY_TYPE || record.owner !== owner || record.purged) return undefined
      const text = await store.readPayload(record.id, 'input')
      return text === undefined ? undefined : { number, record, input: JSON.parse(text) as DeliveryInput }
    })
    return (await Promise.all(all)).filter(it => it !== undefined)
  }

  async #firstInput(id: string, owner: string): Promise<DeliveryInput> {
    const operation = await this.#options.operations.find(id, owner)
    const input = deliveryInput(operation, this.#options.baseUrl)
    if (input === undefined) throw problemError('no-webhook')
    if (!isFinal(operation.status)) throw problemError('not-finished')
    return input
  }

  async #describe({ number, record, input }: Known): Promise<Delivery> {
    const { id, status, createdAt, runAt, finishedAt } = record
    const attempts = await Promise.all(record.history.map(attempt => this.#describeAttempt(id, attempt)))
    const { url, event } = input
    return { id, number, event, url, status, createdAt, nextAttemptAt: runAt, finishedAt, attempts }
  }

  async #describeAttempt(id: string, attempt: Attempt): Promise<DeliveryAttempt> {
    const { number, startedAt, finishedAt, outcome, error } = attempt
    const output = outcome === 'completed' ? await this.#options.store.readPayload(id, 'output') : undefined
    const answered = output === undefined ? answerStatusOf(error) : (JSON.parse(output) as DeliveryOutput).answerStatus
    return { number, startedAt, finishedAt, outcome, error, answerStatus: answered ?? null }
  }
}

function isUuid(id: string): boolean {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id)
}
