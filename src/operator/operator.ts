/** What an operator sees and does, over the operations of all owners. */
import { readReference } from '../blobs/blob-store.ts'
import type { Operation } from '../model/operation.ts'
import { problemError } from '../model/problem.ts'
import { isFinal } from '../model/protocol.ts'
import { attemptsOf, type Operations } from '../service/operations.ts'
import type { RetryOptions } from '../service/retries.ts'
import { orUnavailable } from '../service/unavailable.ts'
import type { LogLine, RecordedError, Store } from '../stores/store.ts'
import type { Logger } from '../util/logger.ts'
import type { Webhooks } from '../webhooks/webhooks.ts'
import type { OperatorFilter } from './filter.ts'
import { toView } from './to-view.ts'
import type { Actor, OperationDetail, OperationView, OperatorPage } from './views.ts'

/**
 * Looks at the operations of all owners, and acts on them. It asks nobody for permission: who may call it is decided
 * by what calls it. Times are milliseconds since the epoch, by the store's clock.
 *
 * Every method rejects with a {@link ProblemError}: `not-found` for an id that is not known, `unavailable` while the
 * store does not answer, and what it says beside.
 */
export interface Operator {
  /**
   * Lists the operations that fit a filter, newest first. One call looks at no more than 10,000 operations (1,000 in
   * Cosmos DB), also where few of them fit: `next` says where to go on.
   *
   * @param page `limit` is 1 to 500, default 50; `after` is the `next` of the page before
   */
  browse(filter: OperatorFilter, page?: PageRequest): Promise<OperatorPage>

  /** Reads one operation with everything around it but its payloads and its log; undefined where there is none. */
  get(id: string): Promise<OperationDetail | undefined>

  /** Reads the input as JSON; undefined where there is none any more. */
  input(id: string): Promise<string | undefined>

  /** Reads the output as JSON; undefined where there is none, or it is not JSON. */
  output(id: string): Promise<string | undefined>

  /**
   * Reads what handlers have logged, at most 1,000 lines.
   *
   * @param after the sequence number after which to begin; default 0
   */
  log(id: string, after?: number): Promise<readonly LogLine[]>

  /**
   * Cancels an operation, as its owner does: a pending one at once; of a running one the handler is asked to stop.
   *
   * @returns the operation as it is then
   * @throws {ProblemError} `operation-finished` when it has completed or failed, `operation-expired`
   */
  cancel(id: string, actor: Actor): Promise<OperationView>

  /**
   * Runs an operation again that failed or was canceled: as a new operation with the same input, owner and webhook, and
   * its recorded steps. Limits of the type do not hold for it. An operation has one retry: a second call gives the first
   * one's, and a retry that failed is retried by its own id.
   *
   * @param options `fresh` leaves the recorded steps behind, so that they run again; default false
   * @returns the new operation
   * @throws {ProblemError} `operation-unfinished`, `not-retryable`, `operation-expired`
   */
  retry(id: string, actor: Actor, options?: RetryOptions): Promise<OperationView>

  /**
   * Deletes the payloads, steps, log, blobs and tags of an operation that has ended, at once. Its owner is answered with
   * 410 from then on, until the record goes too.
   *
   * @throws {ProblemError} `operation-unfinished`, `operation-expired`
   */
  delete(id: string, actor: Actor): Promise<void>
}

/** Which page of a list. */
export interface PageRequest {
  readonly after?: string | undefined
  readonly limit?: number | undefined
}

/** What an operator's service works with. */
export interface OperatorContext {
  readonly store: Store
  readonly operations: Operations
  readonly webhooks: Webhooks | undefined
  readonly logger: Logger
}

/** The most that one page lists. */
export const OPERATOR_PAGE_LIMIT = 500
/** How many a page lists unless it is asked for another number. */
const DEFAULT_LIMIT = 50

export class StoreOperator implements Operator {
  readonly #context: OperatorContext

  constructor(context: OperatorContext) {
    this.#context = context
  }

  async browse(filter: OperatorFilter, { after, limit = DEFAULT_LIMIT }: PageRequest = {}): Promise<OperatorPage> {
    checkLimit(limit)
    const page = await orUnavailable(this.#context.store.browse({ ...filter, after, limit }))
    return { items: page.operations.map(toView), next: page.next, scanned: page.scanned }
  }

  async get(id: string): Promise<OperationDetail | undefined> {
    const { store, operations } = this.#context
    const operation = await this.#read(id)
    if (operation === undefined) return undefined
    const [errors, steps, deliveries, output] = await Promise.all([
      orUnavailable(store.errors(id)),
      orUnavailable(store.steps(id)),
      this.#deliveries(operation),
      this.output(id),
    ])
    return {
      ...toView(operation),
      traceparent: operation.traceparent,
      webhookUrl: operation.webhookUrl,
      attempts: withErrors(operation, errors),
      steps: [...steps].map(([name, value]) => ({ name, value })).sort(byName),
      deliveries,
      hasInput: !operation.purged,
      hasOutput: output !== undefined,
      isKnownType: operations.types.has(operation.type),
    }
  }

  async input(id: string): Promise<string | undefined> {
    return await orUnavailable(this.#context.store.readPayload(id, 'input'))
  }

  async output(id: string): Promise<string | undefined> {
    const text = await orUnavailable(this.#context.store.readPayload(id, 'output'))
    return text !== undefined && readReference(text, id) === undefined ? text : undefined
  }

  async log(id: string, after = 0): Promise<readonly LogLine[]> {
    return await orUnavailable(this.#context.store.logs(id, after))
  }

  async cancel(id: string, actor: Actor): Promise<OperationView> {
    const before = await this.#find(id)
    if (before.purged) throw problemError('operation-expired')
    const { store, logger } = this.#context
    const changed = isFinal(before.status) ? undefined : await orUnavailable(store.change(id, { kind: 'cancel' }))
    const operation = changed ?? (await this.#find(id))
    if (operation.status === 'completed' || operation.status === 'failed') {
      throw problemError('operation-finished', `Its status is "${operation.status}".`)
    }
    if (changed !== undefined) logger.info({ id, actor: actor.name }, 'An operator has canceled an operation')
    return toView(operation)
  }

  async retry(id: string, actor: Actor, { fresh }: RetryOptions = {}): Promise<OperationView> {
    const { operations, logger } = this.#context
    const { operation, replayed } = await operations.retryOperation(await this.#find(id), { fresh })
    if (!replayed) logger.info({ id, actor: actor.name, by: operation.id }, 'An operator has retried an operation')
    return toView(operation)
  }

  async delete(id: string, actor: Actor): Promise<void> {
    const { operations, logger } = this.#context
    await operations.deleteOperation(await this.#find(id))
    logger.info({ id, actor: actor.name }, 'An operator has deleted an operation')
  }

  async #read(id: string): Promise<Operation | undefined> {
    return await orUnavailable(this.#context.store.read(id))
  }

  async #find(id: string): Promise<Operation> {
    const operation = await this.#read(id)
    if (operation === undefined) throw problemError('not-found')
    return operation
  }

  async #deliveries({ id, owner, webhookUrl }: Operation): Promise<OperationDetail['deliveries']> {
    const { webhooks } = this.#context
    return webhooks === undefined || webhookUrl === null ? [] : await orUnavailable(webhooks.deliveries(id, owner))
  }
}

function checkLimit(limit: number): void {
  if (Number.isInteger(limit) && limit >= 1 && limit <= OPERATOR_PAGE_LIMIT) return
  throw problemError('invalid-request', `"limit" must be a whole number from 1 to ${OPERATOR_PAGE_LIMIT}.`)
}

function withErrors(operation: Operation, errors: readonly RecordedError[]): OperationDetail['attempts'] {
  const thrown = new Map(errors.map(({ attempt, error }) => [attempt, error]))
  return attemptsOf(operation).map(attempt => ({ ...attempt, thrown: thrown.get(attempt.number) ?? null }))
}

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name < b.name ? -1 : 1
}
