/**
 * The service: submits, finds, waits for, cancels and lists operations. It does not know HTTP.
 * Ownership is checked here and nowhere else: to everyone but the owner, an operation does not exist.
 */
import type { BlobReference, BlobStore, ByteRange } from '../blobs/blob-store.ts'
import { compileJsonSchema } from '../model/json-schema.ts'
import type { Attempt, Operation } from '../model/operation.ts'
import type { AnyOperationType } from '../model/operation-type.ts'
import { problemError } from '../model/problem.ts'
import { isFinal, type Links, type Status, type StatusDocument } from '../model/protocol.ts'
import type { Submission } from '../model/submission.ts'
import { type SubmitRequest, toSubmission } from '../model/submit-request.ts'
import { readTags } from '../model/tags.ts'
import { checkSchema, validate } from '../model/validation.ts'
import { isFor, type RecordedChild, recordedChildren, type Wait } from '../model/waits.ts'
import type { Metrics, QueueReading } from '../observability/metrics.ts'
import { inSpan, traceparentOf } from '../observability/tracing.ts'
import type { Acceptance, LogLine, OperationStore, Store, WithOutput } from '../stores/store.ts'
import { isId } from '../util/is-id.ts'
import { Admission } from './admission.ts'
import { attemptsOf, type RunningAttempt } from './attempts-of.ts'
import { type Durations, Estimator } from './estimator.ts'
import { callbackName, type EventRequest, mayAnswer, openWaits, sendEvent } from './events.ts'
import { OperationWatcher, type Patience, type Waited } from './operation-watcher.ts'
import { Readiness } from './readiness.ts'
import { type RetryOptions, retrySubmission, retryType } from './retries.ts'
import { StatusDocuments } from './status-document.ts'
import { StoredResults } from './stored-results.ts'
import { orUnavailable } from './unavailable.ts'

/** The answer to a submission. */
export interface Submitted {
  readonly operation: Operation
  /** Whether the idempotency key was used before: then this is the operation that it created. */
  readonly replayed: boolean
}

/** Which operations to list. */
export interface ListRequest {
  readonly owner?: string | undefined
  readonly status?: Status | undefined
  /** 1 to 1,000. Default 50. */
  readonly limit?: number | undefined
  /** Continue after the operation with this id. */
  readonly after?: string | undefined
}

/** What the service needs of a store: its own part, the state of the queues, a proof that writes work, and deletion. */
type ServiceStore = OperationStore & Pick<Store, 'queueStats' | 'check' | 'purge'>

/** Options of {@link Operations}. */
export interface OperationsOptions {
  readonly store: ServiceStore
  readonly types: readonly AnyOperationType[]
  /** Keeps the results that are not JSON. */
  readonly blobs?: BlobStore | undefined
  readonly metrics?: Metrics | undefined
  /** How many requests may wait for a change at the same time. Further ones are answered at once. Default 10,000. */
  readonly maxWaitingRequests?: number
  /** Returns why no operation of a type begins now, such as a pause; undefined if nothing prevents it. */
  readonly whyWaiting?: (type: string) => string | undefined
}

/**
 * Submits, finds, waits for, cancels and lists operations.
 *
 * Every method throws a {@link ProblemError}: one that says what to fix where the caller can fix it, and `unavailable`
 * when the store cannot be reached.
 */
export class Operations {
  readonly #store: OperationStore & Pick<Store, 'purge'>
  readonly #results: StoredResults
  readonly #types = new Map<string, AnyOperationType>()
  readonly #estimator: Estimator
  readonly #admission: Admission
  readonly #watcher: OperationWatcher
  readonly #metrics: Metrics | undefined
  readonly #readiness: Readiness
  readonly #documents: StatusDocuments
  #draining = false

  /** @throws {TypeError} when two types have the same name, or a schema is not valid */
  constructor(options: OperationsOptions) {
    this.#store = options.store
    this.#results = new StoredResults(options.store, options.blobs)
    this.#estimator = new Estimator(options.store)
    this.#documents = new StatusDocuments(options.store, this.#estimator, options.whyWaiting ?? (() => undefined))
    this.#readiness = new Readiness(options.store)
    this.#metrics = options.metrics
    this.#admission = new Admission(this.#estimator)
    this.#watcher = new OperationWatcher({ store: options.store, maxWaiting: options.maxWaitingRequests ?? 10_000 })
    for (const type of options.types) {
      if (this.#types.has(type.name)) throw new TypeError(`Two operation types are named "${type.name}".`)
      checkSchema(type.input, compileJsonSchema)
      checkSchema(type.output, compileJsonSchema)
      this.#types.set(type.name, type)
    }
  }

  /** The operation types, by name. */
  get types(): ReadonlyMap<string, AnyOperationType> {
    return this.#types
  }

  /**
   * Accepts an operation. When the promise resolves, the operation is durable and every process can read it.
   *
   * @throws {ProblemError} `invalid-input`, `idempotency-key-required`, `idempotency-key-reused`; `too-many-requests`
   * and `unavailable` with the time after which the request may be sent again
   */
  async submit(type: AnyOperationType, request: SubmitRequest): Promise<Submitted> {
    if (this.#draining) throw problemError('unavailable', 'It is shutting down.', { retryAfter: 1000 })
    const key = request.idempotencyKey ?? null
    if (key === null && type.policy.requireIdempotencyKey) throw problemError('idempotency-key-required')
    const checked = await validate(type.input, request.input)
    if (checked.errors !== undefined) {
      throw problemError('invalid-input', undefined, { extensions: { errors: checked.errors } })
    }
    const tags = type.tags && readTags(type.name, type.tags(checked.value))
    const plain = toSubmission(type, request, key)
    const submission = tags === undefined ? plain : { ...plain, tags }
    const acceptance = await this.#accept(submission, request.transaction)
    if (acceptance.kind === 'refused') {
      throw await this.#admission.describeRefusal(type, acceptance.limit, request.transaction === undefined)
    }
    const { kind, operation } = acceptance
    const replayed = kind === 'known'
    if (replayed && operation.fingerprint !== submission.fingerprint) throw problemError('idempotency-key-reused')
    // Observers of the store do not see what the caller has not committed yet, so it is counted here.
    if (!replayed && request.transaction !== undefined) this.#metrics?.accepted(type.name)
    return { operation, replayed }
  }

  /**
   * Counts a request to submit against the caller's rate limit. Called before the request is read, so that invalid
   * requests count too. A repeated request with a known idempotency key counts like any other.
   *
   * @throws {ProblemError} `too-many-requests` with the time after which the next request is accepted
   */
  countRequest(type: AnyOperationType, owner: string): void {
    this.#admission.countRequest(type, owner)
  }

  /** Attempts join the trace of the submit, or the client's own trace if this process does not trace. */
  async #accept(submission: Submission, transaction: unknown): Promise<Acceptance> {
    const { id, type, traceparent } = submission
    return await inSpan('submit', { operation: type, id, parentOutside: traceparent ?? undefined }, async span => {
      const joined = traceparentOf(span) ?? traceparent
      const joining = joined === traceparent ? submission : { ...submission, traceparent: joined }
      if (transaction !== undefined) return await this.#acceptWithin(joining, transaction)
      return await orUnavailable(this.#store.accept(joining))
    })
  }

  /** Errors in the caller's own transaction are rethrown unchanged: the caller needs them to roll back. */
  async #acceptWithin(submission: Submission, transaction: unknown): Promise<Acceptance> {
    const accepted = this.#store.acceptWithin?.(submission, transaction)
    if (accepted !== undefined) return await accepted
    throw new TypeError('This store cannot join a transaction: use a PostgreSQL store, or leave "transaction" out.')
  }

  /**
   * Finds an operation, whatever its status.
   *
   * @param type the type that it must have; without one, any
   * @throws {ProblemError} `not-found`, `operation-expired`
   */
  async find(id: string, owner: string, type?: AnyOperationType): Promise<Operation> {
    // A string that cannot be an id is not looked up: the answer is `not-found` in any case.
    return this.#checkFound(isId(id) ? await orUnavailable(this.#store.read(id)) : undefined, owner, type)
  }

  /** Finds an operation again. Returns `known` itself if the store can tell that nothing but its lease has changed. */
  async findAgain(known: Operation, owner: string, type?: AnyOperationType): Promise<Operation> {
    return this.#checkFound(await orUnavailable(this.#store.read(known.id, known)), owner, type)
  }

  #checkFound(operation: Operation | undefined, owner: string, type: AnyOperationType | undefined): Operation {
    const known = operation !== undefined && this.#types.has(operation.type)
    if (!known || operation.owner !== owner || (type !== undefined && operation.type !== type.name)) {
      throw problemError('not-found')
    }
    if (operation.purged) throw problemError('operation-expired')
    return operation
  }

  /**
   * Waits until `wanted` is true, the time is up or the signal aborts. Returns at once if too many requests wait.
   *
   * @returns the operation as it is then, and whether this call waited for it
   */
  async wait<Known extends { readonly id: string } = Operation>(
    operation: Known,
    wanted: (operation: Operation) => boolean | Promise<boolean>,
    patience: Patience,
  ): Promise<Waited<Known>> {
    if (this.#watcher.isFull || this.#draining) return { operation, waited: false }
    // While the store cannot be reached, no change can be seen; an accepted operation must still be answered with 202.
    const after = await this.#watcher.waitUntil(operation.id, wanted, patience).catch(() => undefined)
    return { operation: after ?? operation, waited: after !== undefined || patience.mayAppear === true }
  }

  /**
   * Finds an operation as {@link find} does, and waits as {@link wait} does. It reads once less than both of them.
   *
   * @throws {ProblemError} what `find` throws
   */
  async findAndWait(
    id: string,
    owner: string,
    wanted: (operation: Operation) => boolean,
    { type, ...patience }: Patience & { readonly type?: AnyOperationType },
  ): Promise<Waited> {
    let found: Operation | undefined
    const first = async () => {
      found = await this.find(id, owner, type)
      return found
    }
    if (this.#watcher.isFull || this.#draining) return { operation: await first(), waited: false }
    const after = await this.#watcher.waitUntil(id, wanted, { ...patience, first }).catch((error: unknown) => {
      if (found === undefined) throw error
    })
    const operation = after ?? found
    if (operation === undefined) throw problemError('not-found')
    return { operation, waited: after !== undefined }
  }

  /** Returns whether the store answers and accepts writes, and no shutdown has begun. */
  async ready(): Promise<boolean> {
    return !this.#draining && (await this.#readiness.isReady())
  }

  /** Reads the state of every queue. */
  async queues(): Promise<readonly QueueReading[]> {
    return await Promise.all(
      [...this.#types.keys()].map(async operation => {
        const { depth, oldestAt, unclaimedMs } = await this.#estimator.readQueue(operation)
        const ageSeconds = oldestAt === null ? 0 : Math.max(0, Date.now() - oldestAt) / 1000
        return { operation, depth, ageSeconds, unclaimedSeconds: unclaimedMs / 1000 }
      }),
    )
  }

  /** Reads how long operations of a type took recently; undefined if none has ended, or the store does not answer. */
  async durations(type: AnyOperationType): Promise<Durations | undefined> {
    const queue = await this.#estimator.readQueue(type.name).catch(() => undefined)
    return queue?.durations
  }

  /** The number of requests that wait for a change now. */
  get waiting(): number {
    return this.#watcher.waiting
  }

  /** Whether a shutdown has begun. */
  get draining(): boolean {
    return this.#draining
  }

  /** Refuses new operations from now on, and answers every request that waits. */
  drain(): void {
    this.#draining = true
    this.#watcher.close()
  }

  /** Finds an operation as {@link find} does, and reads its output with it where the store can. */
  async findWithOutput(id: string, owner: string, type?: AnyOperationType): Promise<WithOutput> {
    const { readWithOutput } = this.#store
    if (readWithOutput === undefined || !isId(id)) return { operation: await this.find(id, owner, type) }
    const { operation, output } = (await orUnavailable(readWithOutput.call(this.#store, id))) ?? {}
    return { operation: this.#checkFound(operation, owner, type), ...(output !== undefined && { output }) }
  }

  /**
   * Reads the result of a completed operation: JSON, or a reference to the bytes that {@link content} reads.
   *
   * @param read the output as it is in the store, if it was read already
   */
  async output(operation: Operation, read?: string): Promise<string | BlobReference> {
    return await this.#results.output(operation, read)
  }

  /**
   * Reads the bytes of a result that is not JSON, or a part of them. The caller reads them to the end, or calls
   * `return`.
   *
   * @throws {ProblemError} `operation-expired` where they were deleted with their operation, `result-lost` where only
   * the bytes are missing, `unavailable` where they cannot be read now
   */
  async content(reference: BlobReference, range?: ByteRange): Promise<AsyncIterable<Uint8Array>> {
    return await this.#results.content(reference, range)
  }

  /**
   * Cancels an operation. A pending one is canceled at once; a running one is asked to stop. Idempotent.
   *
   * @returns the operation as it is now, canceled or with `cancelRequested`
   * @throws {ProblemError} `not-found`, `operation-expired`, `operation-finished` when it has completed or failed
   */
  async cancel(id: string, owner: string, type?: AnyOperationType): Promise<Operation> {
    const before = await this.find(id, owner, type)
    const changed = isFinal(before.status) ? undefined : await orUnavailable(this.#store.change(id, { kind: 'cancel' }))
    const operation = changed ?? (await this.find(id, owner, type))
    if (operation.status === 'completed' || operation.status === 'failed') {
      throw problemError('operation-finished', `Its status is "${operation.status}".`)
    }
    return operation
  }

  /**
   * Runs an operation that failed or was canceled again, as a new operation with the same input. Idempotent: an
   * operation has one retry. A retry that failed is retried by its own id.
   *
   * @throws {ProblemError} `not-found`, `operation-expired`, `operation-unfinished`, `not-retryable`; `too-many-requests`
   * and `unavailable` where the type has limits
   */
  async retry(id: string, owner: string, options: RetryOptions = {}): Promise<Submitted> {
    const operation = await this.find(id, owner)
    return await this.retryOperation(operation, { ...options, isLimited: true })
  }

  /** Like {@link retry}, for an operation whose owner the caller has checked. */
  async retryOperation(
    operation: Operation,
    { isLimited = false, ...options }: RetryOptions & { readonly isLimited?: boolean } = {},
  ): Promise<Submitted> {
    if (this.#draining) throw problemError('unavailable', 'It is shutting down.', { retryAfter: 1000 })
    const type = retryType(this.#types, operation)
    const { owner } = operation
    const as = (text: string) => toSubmission(type, { input: undefined, text, owner }, null)
    const { limits, ...submission } = await retrySubmission(this.#store, operation, as, { ...options, type })
    const acceptance = await this.#accept({ ...submission, limits: isLimited ? limits : undefined }, undefined)
    if (acceptance.kind === 'refused') throw await this.#admission.describeRefusal(type, acceptance.limit, true)
    const { id } = acceptance.operation
    if (operation.retriedBy !== id) {
      await orUnavailable(this.#store.change(operation.id, { kind: 'retried', by: id }))
    }
    return { operation: acceptance.operation, replayed: acceptance.kind === 'known' }
  }

  /**
   * Deletes the input, result, steps and log of an operation that has ended, at once. Its status answers 410 from then on.
   *
   * @throws {ProblemError} `not-found`, `operation-expired`, `operation-unfinished`
   */
  async delete(id: string, owner: string): Promise<void> {
    await this.deleteOperation(await this.find(id, owner))
  }

  /** Like {@link delete}, for an operation whose owner the caller has checked. */
  async deleteOperation({ id, status, purged }: Operation): Promise<void> {
    if (purged) throw problemError('operation-expired')
    if (!isFinal(status)) throw problemError('operation-unfinished', `Its status is "${status}".`)
    // First the blobs: if this fails, the call can be repeated. After the purge it could not.
    await this.#results.deleteBlobs(id)
    await orUnavailable(this.#store.purge(id))
  }

  /**
   * Reads the wait of an operation that has this name.
   *
   * @throws {ProblemError} `not-found`, also where the operation does not wait for this event; `operation-expired`
   */
  async openWait(id: string, name: string, caller: string): Promise<Wait> {
    const operation = await this.#findFor(id, name, caller)
    const wait = openWaits(operation).find(it => isFor(it, name))
    if (wait === undefined) throw problemError('not-found', `The operation does not wait for ${JSON.stringify(name)}.`)
    return wait
  }

  /**
   * Sends an event to an operation whose handler waits for it, or will wait for it. The first event of a name counts.
   * The same event again changes nothing.
   *
   * @throws {ProblemError} `not-found`, `operation-expired`, `invalid-event` with the errors, `event-refused` where
   * another event was first or the time is over, `operation-finished`
   */
  async sendEvent(
    id: string,
    { owner = '', ...event }: EventRequest & { readonly owner?: string },
  ): Promise<Operation> {
    return await this.#sendEvent(await this.#findFor(id, event.name, owner), event)
  }

  /** Sends an event to an operation of any owner. */
  async sendOperationEvent(operation: Operation, event: EventRequest): Promise<Operation> {
    if (operation.purged) throw problemError('operation-expired')
    return await this.#sendEvent(operation, event)
  }

  /** Sends an event to a callback URL. The token is the only credential. */
  async sendCallback(id: string, token: string, value: unknown): Promise<Operation> {
    const operation = isId(id) ? await orUnavailable(this.#store.read(id)) : undefined
    if (operation === undefined || !this.#types.has(operation.type)) throw problemError('not-found')
    if (operation.purged) throw problemError('operation-expired')
    const name = await orUnavailable(callbackName(this.#store, id, token))
    if (name === undefined) throw problemError('not-found')
    return await this.#sendEvent(operation, { name, value })
  }

  async #sendEvent(operation: Operation, event: EventRequest): Promise<Operation> {
    return await orUnavailable(sendEvent(this.#store, operation, event))
  }

  /** Like {@link find}, also for callers who may answer the wait of this name. */
  async #findFor(id: string, name: string, caller: string): Promise<Operation> {
    const operation = isId(id) ? await orUnavailable(this.#store.read(id)) : undefined
    const type = operation && this.#types.get(operation.type)
    if (operation === undefined || type === undefined || !(await mayAnswer(type, operation, caller, name))) {
      throw problemError('not-found')
    }
    if (operation.purged) throw problemError('operation-expired')
    return operation
  }

  /** Lists operations of a type and an owner, newest first. */
  async list(type: AnyOperationType, request: ListRequest = {}): Promise<readonly Operation[]> {
    const { owner = '', limit = 50, ...rest } = request
    return await orUnavailable(this.#store.list({ type: type.name, owner, limit, ...rest }))
  }

  /** Lists the attempts so far, including the running one. */
  async attempts(id: string, owner: string): Promise<readonly (Attempt | RunningAttempt)[]> {
    return attemptsOf(await this.find(id, owner))
  }

  /** Reads the lines that handlers have logged for an operation. */
  async logs(id: string, owner: string, after = 0): Promise<readonly LogLine[]> {
    await this.find(id, owner)
    return await this.logsOf(id, after)
  }

  /** Like {@link logs}, for an operation whose owner the caller has checked. */
  async logsOf(id: string, after: number): Promise<readonly LogLine[]> {
    return await orUnavailable(this.#store.logs(id, after))
  }

  /** Lists the children of an operation with their keys, in any order. The children of a batch are its items. */
  async children({ id }: Operation): Promise<readonly RecordedChild[]> {
    return recordedChildren(await orUnavailable(this.#store.steps(id)))
  }

  /** Makes the status document that a client gets. Returns `last`, made of the same record, if it is still right. */
  document(operation: Operation, links: Links, last?: StatusDocument): Promise<StatusDocument> {
    return this.#documents.of(operation, links, last)
  }
}
