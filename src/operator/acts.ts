/**
 * What operators do is recorded as operations: an act is durable before it is done, and ends with what became of it. An
 * act whose process dies in between is done by another process, so every act can be repeated without harm. An act on many
 * operations is an operation that works through them page by page, and goes on where it was.
 */

import { handler, type Job } from '../model/handler.ts'
import type { Operation } from '../model/operation.ts'
import { type AnyOperationType, defineOperation } from '../model/operation-type.ts'
import { ProblemError, problem } from '../model/problem.ts'
import { toSubmission } from '../model/submit-request.ts'
import { isTick } from '../schedules/schedules.ts'
import { orUnavailable } from '../service/unavailable.ts'
import { OPERATOR, PAUSES } from '../stores/paused-types.ts'
import { acceptedOperation, type Store } from '../stores/store.ts'
import type { Logger } from '../util/logger.ts'
import type { Loop } from '../util/loop.ts'
import { DELIVERY_TYPE } from '../webhooks/delivery.ts'
import type { Delivery } from '../webhooks/history.ts'
import { INTERNAL_LEASE_MS, internalWorker } from '../worker/internal-worker.ts'
import { holderName, type Worker } from '../worker/worker.ts'
import { describeTarget, selectedOf } from './target.ts'
import type { AuditEntry, BulkAction, BulkTarget } from './views.ts'

/** What is done to one operation, one delivery or one operation type. */
export interface Act {
  readonly action: BulkAction | 'event' | 'pause' | 'resume'
  readonly actor: string
  /** An id, or the name of a type. */
  readonly target: string
  /** Of a retry: whether recorded steps are run again too. */
  readonly fresh?: boolean | undefined
  /** Of a replay: a delivery that was accepted since then is the one, in milliseconds. */
  readonly since?: number | undefined
  /** Of an event: its name. */
  readonly name?: string | undefined
  /**
   * Of an event: what is sent. It is not recorded with the act, which is kept longer than many operations and after
   * they are deleted: an act whose process dies before the event is sent fails.
   */
  readonly value?: unknown
}

/** What a bulk run does to each operation that it comes upon. */
interface BulkActs {
  readonly action: BulkAction
  /** The types whose declarations it needs. Processes that do not declare them all leave it to others. */
  readonly types: readonly string[]
}

/** What is done to many operations. */
export interface Bulk extends BulkActs {
  readonly actor: string
  readonly target: BulkTarget
}

/** What became of an act. */
export interface Done {
  /** How many operations it was done to. */
  readonly count: number
  readonly detail?: string | undefined
  /** The operation as it is then. */
  readonly operation?: Operation | undefined
  /** Of a replay: the new delivery. */
  readonly delivery?: Delivery | undefined
}

const KEPT = { attempts: 100, lostAttempts: 100, retention: '90d' } as const
const ACT_TYPE = defineOperation({ name: 'operator-acts', ...KEPT })
export const BULK_TYPE: AnyOperationType = defineOperation({ name: 'operator-bulk', timeout: '20d', ...KEPT })

/** The types of operations that stand for what operators do. */
export const OPERATOR_TYPES: ReadonlySet<string> = new Set([ACT_TYPE.name, BULK_TYPE.name, PAUSES.name])

/**
 * Whether operations of a type are Waybill's own: acts of operators, webhook deliveries and ticks of schedules. No list
 * shows them, and no bulk run acts on them, unless it is asked for one of their types.
 */
export function isInternal(type: string): boolean {
  return OPERATOR_TYPES.has(type) || type === DELIVERY_TYPE || isTick({ type })
}

/** After this long, another process does an act that was accepted and not begun. */
const BEGINS_WITHIN_MS = 60_000
/** Hints come at once; without any, an act that was left behind is found this soon, in milliseconds. */
const POLL_MS = 10_000
const CONCURRENCY = 8
/** What an act waits for that this process cannot do, and for how long at least and at most, in milliseconds. */
const ELSEWHERE = 'a process that declares its operation types'
const [LEFT_MS, LONGEST_LEFT_MS] = [1000, 300_000]

/** Between the places in the lists that an audit is merged of. */
const CURSOR_SEPARATOR = '.'

/** What acts work with. */
export interface ActsContext {
  readonly store: Store
  readonly logger: Logger
  /** Whether this process has what an act needs; another one of the composition may have more. */
  readonly canPerform: (act: Act) => Promise<boolean>
  readonly perform: (act: Act) => Promise<Done>
  readonly canPerformBulk: (bulk: Bulk) => boolean
  readonly performBulk: (bulk: Bulk, job: Job) => Promise<Done>
}

export class Acts {
  readonly #context: ActsContext
  readonly #worker: Worker
  readonly #holder = holderName()

  constructor(context: ActsContext) {
    this.#context = context
    const { store, logger, canPerform, perform, canPerformBulk, performBulk } = context
    const handlers = [
      handler(ACT_TYPE, async (input, job) => {
        while (!(await canPerform(input as Act))) await leaveToOthers(job)
        return outputOf(await perform(input as Act))
      }),
      handler(BULK_TYPE, async (input, job) => {
        while (!canPerformBulk(input as Bulk)) await leaveToOthers(job)
        return outputOf(await performBulk(input as Bulk, job))
      }),
    ]
    const limits = { concurrency: CONCURRENCY, pollIntervalMs: POLL_MS }
    this.#worker = internalWorker({ name: 'operator', store, logger, handlers, ...limits })
  }

  get loops(): readonly Loop[] {
    return this.#worker.loops
  }

  /** Begins to do what other processes have left behind. */
  async start(): Promise<void> {
    await this.#worker.start()
  }

  async stop(): Promise<void> {
    await this.#worker.stop()
  }

  /** Records an act, does it, and records what became of it. */
  async do(act: Act): Promise<Done> {
    const { store, perform } = this.#context
    const { value: _, ...recorded } = act
    const submission = { ...submissionOf(ACT_TYPE, recorded), delay: BEGINS_WITHIN_MS }
    const { id } = acceptedOperation(await orUnavailable(store.accept(submission)))
    const by = { holder: this.#holder, leaseMs: INTERNAL_LEASE_MS, execution: null }
    const [claim] = await orUnavailable(store.claim({ ...by, from: { id } }))
    const attempt = claim?.operation.attempt ?? 1
    try {
      const done = await perform(act)
      await this.#end(id, attempt, { kind: 'completed', output: JSON.stringify(outputOf(done)) })
      return done
    } catch (error) {
      const why = error instanceof ProblemError ? error.problem : problem('internal-error')
      await this.#end(id, attempt, { kind: 'failed', problem: why })
      throw error
    }
  }

  /** An act whose end is not recorded is done once more when its lease has run out. */
  async #end(
    id: string,
    attempt: number,
    outcome:
      | { readonly kind: 'completed'; readonly output: string }
      | { readonly kind: 'failed'; readonly problem: AuditProblem },
  ): Promise<void> {
    const { store, logger } = this.#context
    await store.change(id, { kind: 'finish', attempt, outcome }).catch((error: unknown) => {
      logger.warn({ operation: id, err: error }, "The end of an operator's act could not be recorded")
    })
  }

  /** Accepts an act on many operations, which begins at once. */
  async begin(bulk: Bulk): Promise<Operation> {
    const { store } = this.#context
    return acceptedOperation(await orUnavailable(store.accept(submissionOf(BULK_TYPE, bulk))))
  }

  /**
   * Lists acts, newest first.
   *
   * @param after the `next` of the page before: where each of the lists goes on that are merged
   */
  async audit(limit: number, after = ''): Promise<{ items: readonly AuditEntry[]; next?: string }> {
    const { store } = this.#context
    const cursors = after.split(CURSOR_SEPARATOR)
    const lists = await Promise.all(
      [ACT_TYPE, BULK_TYPE].map(({ name }, index) =>
        orUnavailable(store.list({ type: name, owner: OPERATOR, limit, after: cursors[index] || undefined })),
      ),
    )
    // Those of one moment stay in the order of their list.
    const all = lists.flat().sort((a, b) => b.createdAt - a.createdAt)
    const page = all.slice(0, limit)
    const items = await Promise.all(page.map(operation => this.#describe(operation)))
    if (all.length === page.length && lists.every(list => list.length < limit)) return { items }
    const lasts = lists.map((list, index) => list.findLast(it => page.includes(it))?.id ?? cursors[index] ?? '')
    return { items, next: lasts.join(CURSOR_SEPARATOR) }
  }

  async #describe(operation: Operation): Promise<AuditEntry> {
    const { id, type, createdAt, error, status } = operation
    const { store } = this.#context
    const [input, output] = await Promise.all([
      orUnavailable(store.readPayload(id, 'input')),
      orUnavailable(store.readPayload(id, 'output')),
    ])
    const { action, actor, target = '' } = JSON.parse(input ?? '{}') as Partial<Act | Bulk>
    const { count = 0, detail } = JSON.parse(output ?? '{}') as Partial<Done>
    return {
      id,
      at: createdAt,
      actor: actor ?? '',
      action: type === BULK_TYPE.name ? `bulk-${action}` : (action ?? ''),
      target: typeof target === 'string' ? target : describeTarget(target),
      selected: typeof target === 'string' ? null : selectedOf(target),
      count,
      detail: detail ?? error?.detail ?? (status === 'completed' ? null : status),
    }
  }
}

/**
 * Lets any process claim it again, later: at times that keep no step with their looks at the queue, and less often the
 * longer none of them could do it.
 */
async function leaveToOthers(job: Job): Promise<void> {
  const spread = Math.min(2 * LEFT_MS * job.attempt, LONGEST_LEFT_MS)
  await job.sleep(ELSEWHERE, Math.round(LEFT_MS + Math.random() * spread))
}

type AuditProblem = ProblemError['problem']

function outputOf({ count, detail }: Done): { count: number; detail?: string } {
  return { count, ...(detail !== undefined && { detail }) }
}

function submissionOf(type: AnyOperationType, input: Act | Bulk) {
  return toSubmission(type, { input, owner: OPERATOR }, null)
}
