/** The status document: what a client sees of an operation. */
import { hasChildren, type Operation } from '../model/operation.ts'
import {
  type ChildrenDocument,
  isFinal,
  type Links,
  type StatusDocument,
  type WaitDocument,
} from '../model/protocol.ts'
import { NEVER_DUE, type Wait } from '../model/waits.ts'
import type { OperationStore } from '../stores/store.ts'
import { isoTime } from '../util/dates.ts'
import type { Estimate, Estimator } from './estimator.ts'
import { openWaits } from './events.ts'

/** Makes status documents of operations. */
export class StatusDocuments {
  readonly #store: Pick<OperationStore, 'countChildren'>
  readonly #estimator: Estimator
  readonly #whyWaiting: (type: string) => string | undefined

  /** @param whyWaiting returns why no operation of a type begins at present; undefined if nothing prevents it */
  constructor(
    store: Pick<OperationStore, 'countChildren'>,
    estimator: Estimator,
    whyWaiting: (type: string) => string | undefined,
  ) {
    this.#store = store
    this.#estimator = estimator
    this.#whyWaiting = whyWaiting
  }

  /** @param last a document of the same record: returned itself if it would be the same again */
  async of(operation: Operation, links: Links, last?: StatusDocument): Promise<StatusDocument> {
    // Awaits only what must be read: each await takes a turn of the queue of promises.
    const expected = isFinal(operation.status)
      ? undefined
      : (this.#estimator.estimateAtOnce(operation) ?? (await this.#estimated(operation)))
    const children = hasChildren(operation) ? await this.#childrenOf(operation) : undefined
    const reason = waitingFor(operation, expected, this.#whyWaiting(operation.type), children)
    if (last !== undefined && children === undefined && isSame(last, reason, expected)) return last
    const document = toDocument(operation, links, reason, expected)
    return children === undefined ? document : { ...document, children }
  }

  /** If the estimate fails, the document is made without it: an accepted operation must be answered with 202. */
  #estimated(operation: Operation): Promise<Estimate> {
    return this.#estimator.estimate(operation).catch(() => ({ retryAfterMs: 1000, unclaimedMs: 0 }))
  }

  async #childrenOf(operation: Operation): Promise<ChildrenDocument | undefined> {
    const counts = await this.#store.countChildren(operation.id).catch(() => undefined)
    if (counts === undefined) return undefined
    const { unfinished, completed, failed, canceled } = counts
    return { total: unfinished + completed + failed + canceled, completed, failed, canceled }
  }
}

function toDocument(
  operation: Operation,
  links: Links,
  reason: string | undefined,
  expected: Estimate | undefined,
): StatusDocument {
  const time = (at: number | null | undefined) => (at === null || at === undefined ? undefined : isoTime(at))
  const createdAt = time(operation.createdAt)
  const document: { [Key in keyof StatusDocument]: StatusDocument[Key] | undefined } = {
    id: operation.id,
    operation: operation.type,
    status: operation.status,
    createdAt,
    updatedAt: operation.updatedAt === operation.createdAt ? createdAt : time(operation.updatedAt),
    notBefore: time(notBeforeOf(operation)),
    deadline: time(operation.deadline),
    startedAt: time(operation.startedAt),
    finishedAt: time(operation.finishedAt),
    expiresAt: time(operation.expiresAt),
    attempt: operation.attempt - operation.released,
    maxAttempts: operation.maxAttempts,
    progress: operation.progress ?? undefined,
    queuePosition: expected?.queuePosition,
    estimatedCompletionAt: completionTime(expected),
    retryAfter: retryAfterOf(expected),
    cancelRequested: operation.cancelRequested,
    waitingFor: reason,
    waits: waitsOf(operation, links),
    error: operation.error ?? undefined,
    tags: operation.tags ?? undefined,
    links,
  }
  return document as StatusDocument
}

function completionTime(expected: Estimate | undefined): string | undefined {
  return expected?.completionAt === undefined ? undefined : isoTime(expected.completionAt)
}

function retryAfterOf(expected: Estimate | undefined): number {
  return expected === undefined ? 0 : Math.ceil(expected.retryAfterMs / 1000)
}

/** Whether a document has everything that does not come from the record, as {@link toDocument} would write it now. */
function isSame(last: StatusDocument, reason: string | undefined, expected: Estimate | undefined): boolean {
  return (
    last.queuePosition === expected?.queuePosition &&
    last.retryAfter === retryAfterOf(expected) &&
    last.waitingFor === reason &&
    last.estimatedCompletionAt === completionTime(expected)
  )
}

function waitsOf(operation: Operation, links: Links): StatusDocument['waits'] {
  const waits = openWaits(operation)
  return waits.length === 0 ? undefined : waits.map(wait => toWaitDocument(wait, links.operation))
}

/** A wait as clients see it. */
export function toWaitDocument(
  { kind, name, until, message, schema, model }: Wait,
  operationUrl: string,
): WaitDocument {
  return {
    kind,
    name,
    ...(until !== null && { until: isoTime(until) }),
    ...(message !== undefined && { message }),
    ...(schema !== undefined && { schema }),
    ...(model !== undefined && { model }),
    ...((kind === 'event' || kind === 'input') && { url: `${operationUrl}/events/${encodeURIComponent(name)}` }),
  }
}

/**
 * The time before which the work does not begin. Before the first attempt or execution, `runAt` comes from the
 * submission alone.
 */
function notBeforeOf({ status, attempt, launches, runAt }: Operation): number | null {
  return status === 'pending' && attempt === 0 && launches === 0 ? runAt : null
}

function describeWait({ kind, name, until }: Wait, children: ChildrenDocument | undefined): string {
  if (kind === 'time') return `It sleeps until ${isoTime(until ?? NEVER_DUE)}.`
  if (kind === 'children') return describeChildren(children)
  return kind === 'event' ? `It waits for the event "${name}".` : `It waits for an answer to "${name}".`
}

function describeChildren(children: ChildrenDocument | undefined): string {
  if (children === undefined) return 'It waits for operations that it has submitted.'
  const { total, completed, failed, canceled } = children
  return `It waits for operations that it has submitted: ${completed + failed + canceled} of ${total} have ended.`
}

/** Workers look at the queue every second: after this many milliseconds without a claim there is probably no worker. */
const UNCLAIMED_MS = 30_000

/** Why an operation has not started, or does not continue. */
function waitingFor(
  operation: Operation,
  expected: Estimate | undefined,
  why: string | undefined,
  children: ChildrenDocument | undefined,
): string | undefined {
  if (operation.status !== 'pending') return undefined
  if (operation.execution !== null) return 'Its execution has started, but has not begun the work yet.'
  if (why !== undefined) return why
  if (operation.launches > 0) return 'Its execution is being started.'
  if (operation.runAt !== null) {
    const [wait] = openWaits(operation)
    if (wait !== undefined) return describeWait(wait, children)
    const what = operation.history.length > 0 ? 'The next attempt' : 'The work'
    return `${what} is due at ${isoTime(operation.runAt)}.`
  }
  if (expected !== undefined && expected.unclaimedMs >= UNCLAIMED_MS) {
    return `No worker has claimed an operation of this type for ${Math.floor(expected.unclaimedMs / 1000)} s.`
  }
  if (expected?.queuePosition === undefined) return 'It waits in the queue.'
  const ahead = expected.queuePosition - 1
  if (ahead === 0) return 'It is next in the queue.'
  return ahead === 1 ? 'One operation is before it in the queue.' : `${ahead} operations are before it in the queue.`
}
