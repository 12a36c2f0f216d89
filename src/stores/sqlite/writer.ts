/**
 * The only place that writes to the file. A batch of writes becomes one transaction, and so one sync to the disk. It is
 * synchronous, and runs in a thread of its own or on the event loop.
 */

import { type Change, INPUT_LOST, type Operation, type Outcome } from '../../model/operation.ts'
import { isFinal } from '../../model/protocol.ts'
import { accepted, changed, claimed, expired, launching, rescheduled, SET_BACK_MS } from '../../model/state-machine.ts'
import type { Submission } from '../../model/submission.ts'
import { eventText, waitStep } from '../../model/waits.ts'
import type { BatchResult } from '../../util/batcher.ts'
import { IdMap } from '../../util/id-map.ts'
import {
  type Acceptance,
  type Claim,
  type ClaimRequest,
  type Dump,
  type Lease,
  LOG_LIMIT,
  type Note,
  type Renewal,
  type SweepResult,
} from '../store.ts'
import { type Database, prepareVersion } from './database.ts'
import { idOf, keyOf } from './keys.ts'
import { insertValues, RecordUpdates, type StoredRecord } from './rows.ts'
import { Limits } from './submission-limits.ts'
import { waitForTurn } from './turns.ts'
import { prepareWrites, type WriteStatements } from './write-statements.ts'

/** One write. */
export type Write =
  | { readonly kind: 'accept'; readonly submission: Submission }
  | { readonly kind: 'change'; readonly id: string; readonly change: Change }
  | { readonly kind: 'note'; readonly lease: Lease; readonly note: Note }
  | { readonly kind: 'renew'; readonly leases: readonly Lease[]; readonly leaseMs: number }
  | { readonly kind: 'claim'; readonly request: ClaimRequest }
  | { readonly kind: 'launch'; readonly types: readonly string[]; readonly limit: number; readonly holdMs: number }
  | { readonly kind: 'sweep'; readonly limit: number; readonly aheadMs: number }
  | { readonly kind: 'purge'; readonly id: string }
  | { readonly kind: 'reschedule' }
  | { readonly kind: 'restore'; readonly dumps: readonly Dump[] }
  /** Changes no operation; it only proves that a write would be durable. */
  | { readonly kind: 'check' }

/** What a claim did. */
export interface ClaimResult {
  readonly claims: readonly Claim[]
  /** Operations that could not be claimed, and have ended instead. */
  readonly ended: readonly Operation[]
}

/** The result of each kind of write. */
export interface WriteResults {
  /**
   * A number is the time of acceptance: the record is then `accepted(submission, now)`, which is faster to make again
   * than to send.
   */
  accept: number | Acceptance
  change: Operation | undefined
  note: boolean
  renew: Renewal[]
  claim: ClaimResult
  launch: Operation[]
  sweep: SweepResult
  purge: boolean
  /** How many were rescheduled: fewer than {@link PROMOTE_LIMIT} if none is left. */
  reschedule: number
  restore: undefined
  check: undefined
}

/** The answer to any write. */
export type WriteResult = WriteResults[keyof WriteResults]

const DAY = 86_400_000
/** How many durations of a type are kept. */
const DURATIONS_KEPT = 100
/** The most delayed operations that become ready in one claim: more would hold the write lock for too long. */
export const PROMOTE_LIMIT = 1000

/** Executes batches of writes on a connection of its own. */
export class Writer {
  readonly #database: Database
  readonly #sql: WriteStatements
  readonly #version: () => number
  readonly #limits: Limits
  readonly #updates: RecordUpdates
  readonly #begin: () => void
  /**
   * The records of the attempts that this writer has begun, so that the end of an attempt needs no read. They are
   * dropped if another connection has written since, or the lease was renewed.
   */
  readonly #running = new IdMap<StoredRecord>()
  /** The version of the file to which {@link #running} belongs. Own writes of this connection do not change it. */
  #runningAt: number | undefined
  /** The durations of the attempts that the current transaction has completed, by type. */
  #durations = new Map<string, number[]>()

  /**
   * @param patient whether the writer itself waits for locks of other processes: true if the store has opened
   * `database`
   */
  constructor(database: Database, { patient }: { readonly patient: boolean }) {
    this.#database = database
    this.#sql = prepareWrites(database)
    // IMMEDIATE, because a transaction that reads first and then writes cannot wait for a lock: it fails at once.
    const begin = () => void this.#sql.begin.run()
    this.#begin = patient ? () => waitForTurn(begin) : begin
    if (patient) database.exec('PRAGMA busy_timeout = 0')
    this.#limits = new Limits(database)
    this.#updates = new RecordUpdates(database)
    this.#version = prepareVersion(database)
  }

  /**
   * Executes writes in one transaction. Claims come last, so that they see the operations that the batch makes ready.
   * If a write fails, the transaction is rolled back and each write is executed alone, so that only the faulty one
   * fails.
   *
   * @param now milliseconds since the epoch: the store's clock
   */
  execute(writes: readonly Write[], now: number): BatchResult<WriteResult>[] {
    try {
      this.#begin()
    } catch (error) {
      // Another process holds the lock for longer than the limit. Waiting as long again for each write would not help.
      return writes.map(() => ({ error }))
    }
    try {
      return this.#transaction(writes, now).map(value => ({ value }))
    } catch (error) {
      if (writes.length === 1) return [{ error }]
      return writes.flatMap(write => this.execute([write], now))
    }
  }

  /**
   * Returns a different number after another connection has committed. It takes no lock, so it never waits for another
   * process.
   */
  look(): number {
    return this.#version()
  }

  #transaction(writes: readonly Write[], now: number): WriteResult[] {
    try {
      this.#limits.forget()
      this.#durations = new Map()
      this.#forgetIfOthersWrote()
      const results = new Array<WriteResult>(writes.length)
      writes.forEach((write, index) => {
        if (!takes(write)) results[index] = this.#execute(write, now)
      })
      writes.forEach((write, index) => {
        if (takes(write)) results[index] = this.#execute(write, now)
      })
      this.#saveDurations()
      this.#sql.commit.run()
      return results
    } catch (error) {
      this.#rollback()
      throw error
    }
  }

  #forgetIfOthersWrote(): void {
    const version = this.#version()
    if (version === this.#runningAt) return
    this.#running.clear()
    this.#runningAt = version
  }

  #rollback(): void {
    this.#running.clear()
    this.#updates.forget()
    try {
      this.#database.exec('ROLLBACK')
    } catch {
      // SQLite has already rolled the transaction back itself, as it does when the disk is full.
    }
  }

  #execute(write: Write, now: number): WriteResult {
    if (write.kind !== 'accept') this.#limits.forget()
    switch (write.kind) {
      case 'accept':
        return this.#accept(write.submission, now)
      case 'change':
        return this.#change(write.id, write.change, now)
      case 'note':
        return this.#note(write.lease, write.note, now)
      case 'renew':
        return write.leases.map(lease => this.#renew(lease, write.leaseMs, now))
      case 'claim':
        return this.#claim(write.request, now)
      case 'launch':
        return this.#launch(write.types, write.limit, write.holdMs, now)
      case 'sweep':
        return { expired: this.#expire(write.limit, now, write.aheadMs), purged: this.#purge(write.limit, now) }
      case 'purge':
        return this.#purgeOne(write.id, now)
      case 'reschedule':
        return this.#reschedule(now)
      case 'restore':
        return this.#restore(write.dumps)
      case 'check':
        this.#sql.check.run(now)
        return undefined
    }
  }

  #accept(submission: Submission, now: number): number | Acceptance {
    const limit = this.#limits.reached(submission, now)
    if (limit !== undefined) return this.#known(submission) ?? { kind: 'refused', limit }
    const operation = accepted(submission, now)
    const { changes, lastInsertRowid } = this.#sql.insert.run(...insertValues(operation))
    if (Number(changes) === 0) {
      const known = this.#known(submission)
      if (known === undefined) throw new Error(`The operation ${operation.id} was neither inserted nor found.`)
      return known
    }
    const number = Number(lastInsertRowid)
    this.#sql.putInput.run(number, submission.input)
    for (const [name, value] of submission.steps ?? []) this.#sql.putStep.run(number, name, value)
    this.#limits.add(operation)
    return now
  }

  #known({ id, type, owner, idempotencyKey }: Submission): Acceptance | undefined {
    const byKey = idempotencyKey === null ? undefined : this.#sql.byKey.get(type, owner, idempotencyKey)
    if (byKey !== undefined && byKey.id !== id) return { kind: 'known', operation: byKey }
    const operation = this.#sql.read.getById(id)
    return operation && { kind: 'accepted', operation }
  }

  #change(id: string, change: Change, now: number): Operation | undefined {
    const record = this.#running.get(id) ?? this.#sql.read.getStored(id)
    const after = record && changed(record.operation, change, now)
    if (record === undefined || after === undefined) return undefined
    if (change.kind === 'webhook-accepted') this.#sql.webhookAccepted.run(record.number)
    else if (change.kind === 'family-told') this.#sql.familyTold.run(record.number)
    else if (change.kind === 'retried') this.#sql.retried.run(change.by, record.number)
    else this.#save(record, after)
    if (change.kind === 'event')
      this.#sql.putStep.run(record.number, waitStep(change.name), eventText(change.value, now))
    if (change.kind === 'finish') this.#keepOutcome(record, after, change.outcome, now)
    return after
  }

  #keepOutcome({ number }: StoredRecord, after: Operation, outcome: Outcome, now: number): void {
    if ('error' in outcome && outcome.error !== undefined) {
      this.#sql.putError.run(number, after.attempt, JSON.stringify(outcome.error))
    }
    if (outcome.kind !== 'completed') return
    this.#sql.putOutput.run(number, outcome.output)
    const durations = this.#durations.get(after.type) ?? []
    durations.unshift(now - (after.attemptStartedAt ?? now))
    this.#durations.set(after.type, durations)
  }

  /** Writes the durations, once for each transaction. */
  #saveDurations(): void {
    for (const [type, durations] of this.#durations) {
      const row = this.#sql.durations.get(type)
      const recent = [...durations, ...((row && JSON.parse(row.recent)) ?? [])].slice(0, DURATIONS_KEPT)
      this.#sql.putDurations.run(type, JSON.stringify(recent))
    }
  }

  #note(lease: Lease, note: Note, now: number): boolean {
    const number = this.#sql.owned.get(keyOf(lease.id), lease.attempt)?.number
    if (number === undefined) return false
    if (note.kind === 'step') this.#sql.putStep.run(number, note.name, note.value)
    else this.#sql.putLog.run(number, number, now, lease.attempt, note.level, note.message, number, LOG_LIMIT)
    return true
  }

  #renew(lease: Lease, leaseMs: number, now: number): Renewal {
    this.#running.delete(lease.id)
    const held = this.#sql.extend.get(now + leaseMs, keyOf(lease.id), lease.attempt)
    return held === undefined ? { kind: 'lost' } : { kind: 'held', cancelRequested: held.canceled === 1 }
  }

  #claim(request: ClaimRequest, now: number): ClaimResult {
    const result: { claims: Claim[]; ended: Operation[] } = { claims: [], ended: [] }
    if ('id' in request.from) {
      const record = this.#sql.read.getStored(request.from.id)
      if (record !== undefined) this.#claimEach([record], request, now, result)
      return result
    }
    for (const { type, limit } of request.from.types) {
      const room = Math.min(limit, request.from.limit - result.claims.length)
      if (room > 0) this.#claimEach(this.#ready(type, room, now), request, now, result)
    }
    return result
  }

  #claimEach(
    records: readonly StoredRecord[],
    request: ClaimRequest,
    now: number,
    { claims, ended }: { claims: Claim[]; ended: Operation[] },
  ): void {
    for (const record of records) {
      const after = claimed(record.operation, request, now)
      if (after === undefined) continue
      const input = this.#sql.input.get(record.number)
      if (input === undefined) ended.push(...this.#endWithoutInput(record, after, now))
      else {
        this.#running.set(after.id, this.#save(record, after))
        claims.push({ operation: after, input: input.body })
      }
    }
  }

  #endWithoutInput(record: StoredRecord, operation: Operation, now: number): Operation[] {
    const { attempt } = operation
    const ended = changed(operation, { kind: 'finish', attempt, outcome: INPUT_LOST }, now)
    if (ended === undefined) return []
    this.#save(record, ended)
    return [ended]
  }

  #launch(types: readonly string[], limit: number, holdMs: number, now: number): Operation[] {
    const launched: Operation[] = []
    for (const type of types) {
      const ready = this.#ready(type, limit - launched.length, now)
      launched.push(...ready.flatMap(record => this.#launchOne(record, holdMs, now) ?? []))
    }
    return launched
  }

  #launchOne(record: StoredRecord, holdMs: number, now: number): Operation | undefined {
    const after = launching(record.operation, holdMs, now)
    if (after !== undefined) this.#save(record, after)
    return after
  }

  /** Reads ready operations. Those that are too late to begin are skipped: the sweep ends them. */
  #ready(type: string, limit: number, now: number): StoredRecord[] {
    if (this.#sql.anyDue.get(type, now) !== undefined) this.#sql.promote.run(type, now, PROMOTE_LIMIT)
    return this.#sql.ready.allStored(type, now, now, limit)
  }

  /** Corrects due times that were written before the clock was set back. */
  #reschedule(now: number): number {
    const records = this.#sql.ahead.allStored(now + SET_BACK_MS, PROMOTE_LIMIT)
    for (const record of records) {
      const after = rescheduled(record.operation, now)
      if (after !== undefined) this.#save(record, after)
    }
    return records.length
  }

  #expire(limit: number, now: number, aheadMs: number): Operation[] {
    const lapsed = this.#sql.lapsed.allStored(now - aheadMs, limit)
    return [...lapsed, ...this.#sql.late.allStored(now, limit)].flatMap(record => {
      const after = expired(record.operation, now, aheadMs)
      if (after === undefined) return []
      this.#save(record, after)
      return [after]
    })
  }

  /**
   * First deletes the payloads and keeps the record, so that clients get 410. The record is deleted after the retention
   * has passed once more, but after 1 to 30 days.
   */
  #purge(limit: number, now: number): string[] {
    const rows = this.#sql.purgeable.all(now, limit)
    for (const { number, purged, retention } of rows) {
      if (purged === 1) this.#sql.deleteOperation.run(number)
      else this.#entomb(number, retention, now)
    }
    this.#sql.deleteHolders.run(now)
    return rows.map(({ id }) => idOf(id))
  }

  #entomb(number: number, retention: number, now: number): void {
    this.#sql.deleteBeside(number)
    this.#sql.entomb.run(now + Math.min(Math.max(retention, DAY), 30 * DAY), number)
  }

  #purgeOne(id: string, now: number): boolean {
    const record = this.#sql.read.getStored(id)
    if (record === undefined || !isFinal(record.operation.status) || record.operation.purged) return false
    this.#entomb(record.number, record.operation.retention, now)
    return true
  }

  #restore(dumps: readonly Dump[]): undefined {
    this.#running.clear()
    for (const dump of dumps) this.#sql.restore(dump)
  }

  #save(record: StoredRecord, after: Operation): StoredRecord {
    const saved = this.#updates.save(record, after)
    if (after.status !== 'running') this.#running.delete(after.id)
    else if (this.#running.get(after.id) !== undefined) this.#running.set(after.id, saved)
    return saved
  }
}

/** Whether a write takes ready operations: claims and launches do. All other writes may make operations ready. */
function takes(write: Write): boolean {
  return write.kind === 'claim' || write.kind === 'launch'
}
