/**
 * The views of operators, and the outcomes of their acts. Times are milliseconds since the epoch, by the store's clock.
 */

import type { Attempt, AttemptError, Operation } from '../model/operation.ts'
import type { Status } from '../model/protocol.ts'
import type { Wait } from '../model/waits.ts'
import type { RunningAttempt } from '../service/attempts-of.ts'
import type { ChildCounts, OperatorFilter } from '../stores/store.ts'
import type { Delivery } from '../webhooks/history.ts'
import type { PassReason } from './pass-reasons.ts'

/** The name of the actor in the audit. */
export interface Actor {
  /** 1 to 200 characters. */
  readonly name: string
}

/** An operation as a list shows it. */
export interface OperationView
  extends Pick<
    Operation,
    | 'id'
    | 'type'
    | 'owner'
    | 'status'
    | 'version'
    | 'priority'
    | 'createdAt'
    | 'updatedAt'
    | 'runAt'
    | 'startedAt'
    | 'finishedAt'
    | 'expiresAt'
    | 'deadline'
    | 'attempt'
    | 'maxAttempts'
    | 'holder'
    | 'execution'
    | 'engine'
    | 'cancelRequested'
    | 'progress'
    | 'error'
    | 'idempotencyKey'
    | 'purged'
    | 'parent'
  > {
  readonly tags: Readonly<Record<string, string>>
  /** The operation that this one runs again. */
  readonly retryOf: string | null
  /** The operation that runs this one again. */
  readonly retriedBy: string | null
  /** What its handler waits for while it is suspended; otherwise empty. */
  readonly waits: readonly Pick<Wait, 'kind' | 'name' | 'until'>[]
}

/** A page of the operations that match a filter, newest first. */
export interface OperatorPage {
  readonly items: readonly OperationView[]
  /** The `after` of the next page; undefined if everything has been read. Even a page without items may have one. */
  readonly next?: string | undefined
  /** How many operations were read for this page. */
  readonly scanned: number
}

/** A page of the operations that the handler of another one has submitted, in the order of their ids. */
export interface ChildrenPage {
  readonly items: readonly OperationView[]
  /** The `after` of the next page; undefined where no more follow. */
  readonly next?: string | undefined
}

/** A page of the items of a batch, in the order of its input. */
export interface ResultsPage {
  readonly items: readonly (OperationView & {
    /** Its place in the input, from 0. */
    readonly index: number
    /** The result as JSON text; missing if there is none, or it is not JSON. */
    readonly output?: string | undefined
  })[]
  /** The `after` of the next page; undefined where no more follow. */
  readonly next?: string | undefined
}

/** One operation with all its details except payloads and log. */
export interface OperationDetail extends OperationView {
  readonly traceparent: string | null
  readonly webhookUrl: string | null
  /** How many operations its handler has submitted, by their state; null if it has submitted none. */
  readonly children: (ChildCounts & { readonly total: number }) | null
  /** The waits with their questions, and the schemas of the values that may be sent. */
  readonly waits: readonly Wait[]
  /** In their order, the running one last. `error` is the problem, `thrown` what the handler threw. */
  readonly attempts: readonly ((Attempt | RunningAttempt) & { readonly thrown: AttemptError | null })[]
  /**
   * The steps that were recorded, each with its JSON as the type's `redact` leaves it, in the order of their names;
   * how waits ended is among them.
   */
  readonly steps: readonly { readonly name: string; readonly value: string }[]
  /** Webhook deliveries, oldest first. */
  readonly deliveries: readonly Delivery[]
  readonly hasInput: boolean
  readonly hasOutput: boolean
  /** Whether this process knows the type. An operation of an unknown type can be read and deleted, but not retried. */
  readonly isKnownType: boolean
}

/** How operations ended and began within one part of the window. */
export interface SeriesPoint {
  /** When this part begins. */
  readonly at: number
  readonly accepted: number
  readonly completed: number
  readonly failed: number
  readonly canceled: number
}

/** Milliseconds that half, nine in ten, and 99 in 100 of all stay below. */
export interface Percentiles {
  readonly p50: number
  readonly p90: number
  readonly p99: number
}

/** The state of one operation type. */
export interface TypeStatistics {
  readonly operation: string
  readonly paused: boolean
  /** How many are ready, counted to at most 10,000. */
  readonly depth: number
  /** How many are running, counted to at most 10,000. */
  readonly running: number
  /** When the oldest ready one was accepted. */
  readonly oldestAt: number | null
}

/** A worker process, or an execution, and what it runs. */
export interface WorkerView {
  readonly holder: string
  readonly operations: readonly {
    readonly id: string
    readonly type: string
    readonly attempt: number
    readonly execution: string | null
    readonly engine: string | null
  }[]
}

/** What happened within a window of time, and how things are now. */
export interface Statistics {
  readonly from: number
  readonly to: number
  /** Whether the whole window was read. If it has more operations than are read, `from` is later than requested. */
  readonly complete: boolean
  /** 60 parts of the window of equal length, oldest first: operations that were accepted in the window. */
  readonly series: readonly SeriesPoint[]
  /** From the acceptance to the first attempt. */
  readonly wait: Percentiles | null
  /** From the first attempt to the end. */
  readonly run: Percentiles | null
  /** Why operations failed, the most frequent first. */
  readonly problems: readonly { readonly code: string; readonly count: number }[]
  readonly types: readonly TypeStatistics[]
  /** The workers that run something. */
  readonly workers: readonly WorkerView[]
}

/** Operations that were selected individually. */
export interface Selection {
  /** Their ids, 1 to 1,000. */
  readonly ids: readonly string[]
}

/** What a bulk run acts on: all operations that match a filter, or those of a selection. */
export type BulkTarget = OperatorFilter | Selection

/** What a bulk run does with each operation. */
export const BULK_ACTIONS = ['cancel', 'retry', 'delete', 'replay'] as const
export type BulkAction = (typeof BULK_ACTIONS)[number]

/** What a bulk run would act on now. */
export interface BulkPreview {
  readonly count: number
  /** Whether all were counted. False if more than 10,000 match or had to be read. */
  readonly complete: boolean
  /** The newest, at most 10. */
  readonly sample: readonly OperationView[]
  /** How many of the operations that were read match but are passed over, by reason, the most frequent first. */
  readonly passedOver: readonly { readonly reason: PassReason; readonly count: number }[]
}

/** An action on many operations, which is itself a durable operation. */
export interface BulkRun {
  readonly id: string
  readonly action: BulkAction
  /** Null where operations were selected by their ids. */
  readonly filter: OperatorFilter | null
  /** How many operations were selected; null if it acts on all that match a filter. */
  readonly selected: number | null
  readonly actor: Actor
  readonly status: Status
  /** How many operations it has processed so far, of those that matched or were selected. */
  readonly matched: number
  /** How many of them it has acted on. */
  readonly done: number
  /** How many no longer matched when it reached them, such as one that was retried in the meantime. */
  readonly skipped: number
  /** How many could not be acted on. */
  readonly failed: number
  readonly createdAt: number
  readonly finishedAt: number | null
}

/** One act of an operator. */
export interface AuditEntry {
  readonly id: string
  readonly at: number
  readonly actor: string
  /** Such as `cancel`, `retry`, `delete`, `event`, `replay`, `pause`, `resume`, `bulk-retry`. */
  readonly action: string
  /** What it was done to: an id, a type, a filter as text, or the first ids of a selection. */
  readonly target: string
  /** For a bulk run on a selection: how many operations were selected; otherwise null. */
  readonly selected: number | null
  /** How many operations it has acted on. */
  readonly count: number
  readonly detail: string | null
}
