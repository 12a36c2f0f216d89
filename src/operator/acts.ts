/**
 * The acts of operators are recorded as operations: an act is durable before it is done, and ends with its outcome. If
 * its process dies in between, another process does the act, so every act can be repeated without harm. An act on many
 * operations works through them page by page, and continues where it stopped.
 */

import { handler, type Job } from '../model/handler.ts'
import type { Operation } from '../model/operation.ts'
import { type AnyOperationType, defineOperation } from '../model/operation-type.ts'
import { ProblemError, problem } from '../model/problem.ts'
import { toSubmission } from '../model/submit-request.ts'
import { orUnavailable } from '../service/unavailable.ts'
import { OPERATOR, PAUSES } from '../stores/paused-types.ts'
import { acceptedOperation, type Store } from '../stores/store.ts'
import type { Logger } from '../util/logger.ts'
import type { Delivery } from '../webhooks/history.ts'
import { INTERNAL_LEASE_MS, internalWorker } from '../worker/internal-worker.ts'
import { holderName, type Worker } from '../worker/worker.ts'
import { describeTarget, selectedOf } from './target.ts'
import type { AuditEntry, BulkAction, BulkTarget } from './views.ts'

/** An act on one operation, one delivery or one operation type. */
export interface Act {
  readonly action: BulkAction | 'event' | 'pause' | 'resume'
  readonly actor: string
  /** An id, or the name of a type. */
  readonly target: string
  /** For a retry: whether recorded steps are run again, too. */
  readonly fresh?: boolean | undefined
  /** For a replay: a delivery that was accepted since this time is the result, in milliseconds since the epoch. */
  readonly since?: number | undefined
  /** For an event: its name. */
  readonly name?: string | undefined
  /**
   * For an event: its value. It is not recorded with the act, since acts are kept longer than many operations, also
   * after these are deleted. If the process dies before the event is sent, the act fails.
   */
  readonly value?: unknown
}

/** The action of a bulk run on each operation. */
interface BulkActs {
  readonly action: BulkAction
  /** The types whose declarations it needs. A process that does not declare all of them leaves the run to others. */
  readonly types: readonly string[]
}

/** An act on many operations. */
export interface Bulk extends BulkActs {
  readonly actor: string
  readonly target: BulkTarget
}

/** The outcome of an act. */
export interface Done {
  /** How many operations it was done to. */
  readonly count: number
  readonly detail?: string | undefined
  /** The operation afterwards. */
  readonly operation?: Operation | undefined
  /** For a replay: the new delivery. */
  readonly delivery?: Delivery | undefined
}

const KEPT = { attempts: 100, lostAttempts: 100, retention: '90d' } as const
const ACT_TYPE = defineOperation({ name: 'operator-acts', ...KEPT })
export const BULK_TYPE: AnyOperationType = defineOperation({ name: 'operator-bulk', timeout: '20d', ...KEPT })

/** The operation types of acts. */
export const OPERATOR_TYPES: ReadonlySet<string> = new Set([ACT_TYPE.name, BULK_TYPE.name, PAUSES.name])

/** After this time, another process does an act that was accepted but not begun. */
const BEGINS_WITHIN_MS = 60_000
/** The time between two polls for acts without a process, in milliseconds. Hints find them sooner. */
const POLL_MS = 10_000
const CONCURRENCY = 8
/**
 * The reason for the wait of an act that this process cannot do, and the shortest and longest wait, in milliseconds.
 */
const ELSEWHERE = 'a process that declares its operation types'
const [LEFT_MS, LONGEST_LEFT_MS] = [1000, 300_000]

/** The separator between the positions in the lists from which an audit is merged. */
const CURSOR_SEPARATOR = '.'

/** What acts need. */
export interface ActsContext {
  readonly store: Store
  readonly logger: Logger
  /** Whether this process can do an act. Another process may declare more types. */
  readonly canPerform: (act: Act) => Promise<boolean>
  readonly perform: (act: Act) => Promise<Done>
  readonly canPerformBulk: (bulk: Bulk) => boolean
  readonly performBulk: (bulk: Bulk, job: Job) => Promise<Done>
}

export class Acts {
  readonly #context: ActsContext
  /** Does the acts that other processes have left unfinished, once it is started. */
  readonly worker: Worker
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
    this.worker = internalWorker({ name: 'operator', store, logger, handlers, isOwn: true, ...limits })
  }

  /** Records an act, does it, and records its outcome. */
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

  /** An act whose end is not recorded is done again when its lease has run out. */
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
   * @param after the `next` of the page before: the position in each of the merged lists
   */
  async audit(limit: number, after = ''): Promise<{ items: readonly AuditEntry[]; next?: string }> {
    const { store } = this.#context
    const cursors = after.split(CURSOR_SEPARATOR)
    const lists = await Promise.all(
      [ACT_TYPE, BULK_TYPE].map(({ name }, index) =>
        orUnavailable(store.list({ type: name, owner: OPERATOR, limit, after: cursors[index] || undefined })),
      ),
    )
    // Acts of the same moment keep the order of their list.
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
 * Hands the act back, so that any process can claim it later. The wait is random, so that it does not coincide with the
 * polls of one process, and grows while no process can do the act.
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
