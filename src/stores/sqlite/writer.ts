/**
 * The one place that writes to the file: a batch of writes becomes one transaction, and so one
 * sync to the disk. It is synchronous, and runs in a thread of its own or on the event loop.
 */

import {
  accepted,
  type Change,
  changed,
  claimed,
  expired,
  INPUT_LOST,
  launching,
  type Operation,
  rescheduled,
  SET_BACK_MS,
} from '../../model/operation.ts'
import type { Submission } from '../../model/submission.ts'
import { eventText, waitStep } from '../../model/waits.ts'
import type { BatchResult } from '../../util/batcher.ts'
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
import { prepareRestore } from './copy.ts'
import { type Database, prepareVersion } from './database.ts'
import { Limits } from './limits.ts'
import { errorKind } from './payloads.ts'
import { INSERT, insertValues, PROGRESS, progressValues, RECORDS, RecordQuery, UPDATE, updateValues } from './rows.ts'
import { waitForTurn } from './turns.ts'

/** One write. */
export type Write =
  | { readonly kind: 'accept'; readonly submission: Submission }
  | { readonly kind: 'change'; readonly id: string; readonly change: Change }
  | { readonly kind: 'note'; readonly lease: Lease; readonly note: Note }
  | { readonly kind: 'renew'; readonly leases: readonly Lease[]; readonly leaseMs: number }
  | { readonly kind: 'claim'; readonly request: ClaimRequest }
  | { readonly kind: 'launch'; readonly types: readonly string[]; readonly limit: number; readonly holdMs: number }
  | { readonly kind: 'sweep'; readonly limit: number; readonly aheadMs: number }
  | { readonly kind: 'reschedule' }
  | { readonly kind: 'restore'; readonly dumps: readonly Dump[] }
  /** Changes no operation: whether a write would be kept. */
  | { readonly kind: 'check' }
  /** Writes nothing: whether others have. */
  | { readonly kind: 'look' }

/** What a claim did. */
export interface ClaimResult {
  readonly claims: readonly Claim[]
  /** What could not be claimed, and has ended instead. */
  readonly ended: readonly Operation[]
}

/** What each kind of write answers. */
export interface WriteResults {
  /** When it was accepted: its record is then `accepted(submission, now)`, which is sooner made again than sent. */
  accept: number | Acceptance
  change: Operation | undefined
  note: boolean
  renew: Renewal[]
  claim: ClaimResult
  launch: Operation[]
  sweep: SweepResult
  /** How many were rescheduled: fewer than {@link PROMOTE_LIMIT} where none is left. */
  reschedule: number
  restore: undefined
  check: undefined
  /** Another number whenever another connection has committed. */
  look: number
}

/** The answer to any write. */
export type WriteResult = WriteResults[keyof WriteResults]

const DAY = 86_400_000
/** How many durations of a type are kept. */
const DURATIONS_KEPT = 100
/** Delayed operations that become ready in one claim, at most: more would hold the write lock for long. */
export const PROMOTE_LIMIT = 1000

/** Executes batches of writes on a connection of its own. */
export class Writer {
  readonly #database: Database
  readonly #sql: Statements
  readonly #version: () => number
  readonly #limits: Limits
  readonly #begin: () => void
  /** How long the attempts ran that the transaction under way has completed, by type. */
  readonly #durations = new Map<string, number[]>()

  /** @param patient waits for other processes' locks itself: `database` is a connection of the store's own */
  constructor(database: Database, { patient }: { readonly patient: boolean }) {
    this.#database = database
    this.#sql = prepare(database)
    // IMMEDIATE, because a transaction that reads first and then writes cannot wait for a lock: it fails at once.
    const begin = () => void this.#sql.begin.run()
    this.#begin = patient ? () => waitForTurn(begin) : begin
    if (patient) database.exec('PRAGMA busy_timeout = 0')
    this.#limits = new Limits(database)
    this.#version = prepareVersion(database)
  }

  /**
   * Executes the writes in one transaction, claims last, so that they see what the batch makes ready.
   * When one of them fails, all are undone and each is executed alone: the one that fails then fails alone.
   *
   * @param now milliseconds since the epoch: the store's clock
   */
  execute(writes: readonly Write[], now: number): BatchResult<WriteResult>[] {
    // To look takes no lock: another process that writes for long does not keep this one from hearing of it.
    if (writes.every(({ kind }) => kind === 'look')) return this.#look(writes)
    try {
      this.#begin()
    } catch (error) {
      // Another process holds the lock for longer than we wait: to wait as long again for each write helps none of them.
      return writes.map(() => ({ error }))
    }
    try {
      return this.#transaction(writes, now).map(value => ({ value }))
    } catch (error) {
      if (writes.length === 1) return [{ error }]
      return writes.flatMap(write => this.execute([write], now))
    }
  }

  #look(looks: readonly Write[]): BatchResult<WriteResult>[] {
    try {
      const value = this.#version()
      return looks.map(() => ({ value }))
    } catch (error) {
      return looks.map(() => ({ error }))
    }
  }

  #transaction(writes: readonly Write[], now: number): WriteResult[] {
    try {
      this.#limits.forget()
      this.#durations.clear()
      const results = new Array<WriteResult>(writes.length)
      writes.forEach((write, index) => {
        if (!takes(write)) results[index] = this.#execute(write, now)
      })
      writes.forEach((write, index) => {
        if (takes(write)) results[index] = this.#execute(write, now)
      })
      this.#saveDurations(now)
      this.#sql.commit.run()
      return results
    } catch (error) {
      this.#rollback()
      throw error
    }
  }

  #rollback(): void {
    try {
      this.#database.exec('ROLLBACK')
    } catch {
      // SQLite has already undone the transaction itself, as it does when the disk is full.
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
      case 'reschedule':
        return this.#reschedule(now)
      case 'restore':
        return this.#restore(write.dumps)
      case 'check':
        this.#sql.check.run(now)
        return undefined
      case 'look':
        return this.#version()
    }
  }

  #accept(submission: Submission, now: number): number | Acceptance {
    const limit = this.#limits.reached(submission, now)
    if (limit !== undefined) return this.#known(submission) ?? { kind: 'refused', limit }
    const operation = accepted(submission, now)
    if (this.#sql.insert.run(...insertValues(operation)).changes === 0) {
      const known = this.#known(submission)
      if (known === undefined) throw new Error(`The operation ${operation.id} was neither inserted nor found.`)
      return known
    }
    this.#sql.putPayload.run(operation.id, 0, submission.input)
    this.#limits.add(operation)
    return now
  }

  #known({ id, type, owner, idempotencyKey }: Submission): Acceptance | undefined {
    const byKey = idempotencyKey === null ? undefined : this.#sql.byKey.get(type, owner, idempotencyKey)
    if (byKey !== undefined && byKey.id !== id) return { kind: 'known', operation: byKey }
    const operation = this.#sql.read.get(id)
    return operation && { kind: 'accepted', operation }
  }

  #change(id: string, change: Change, now: number): Operation | undefined {
    const operation = this.#sql.read.get(id)
    const after = operation && changed(operation, change, now)
    if (after === undefined) return undefined
    if (change.kind === 'webhook-accepted') this.#sql.webhookAccepted.run(id)
    else if (change.kind === 'progress') this.#sql.progress.run(...progressValues(after))
    else this.#save(after)
    if (change.kind === 'event') this.#sql.putStep.run(id, waitStep(change.name), eventText(change.value, now))
    if (change.kind === 'finish' && 'error' in change.outcome && change.outcome.error !== undefined) {
      this.#sql.putPayload.run(id, errorKind(after.attempt), JSON.stringify(change.outcome.error))
    }
    if (change.kind === 'finish' && change.outcome.kind === 'completed') {
      this.#sql.putPayload.run(id, 1, change.outcome.output)
      this.#noteDuration(after.type, now - (after.attemptStartedAt ?? now))
    }
    return after
  }

  #noteDuration(type: string, ms: number): void {
    const durations = this.#durations.get(type) ?? []
    durations.push(ms)
    this.#durations.set(type, durations)
  }

  /** Once for each transaction, and of each type no more than are kept. */
  #saveDurations(now: number): void {
    for (const [type, durations] of this.#durations) {
      for (const ms of durations.slice(-DURATIONS_KEPT)) this.#sql.putDuration.run(type, ms, now, type)
      this.#sql.dropDurations.run(type, type, DURATIONS_KEPT)
    }
  }

  #note(lease: Lease, note: Note, now: number): boolean {
    if (this.#sql.owns.get(lease.id, lease.attempt) === undefined) return false
    if (note.kind === 'step') this.#sql.putStep.run(lease.id, note.name, note.value)
    else this.#sql.putLog.run(lease.id, lease.id, now, lease.attempt, note.level, note.message, lease.id, LOG_LIMIT)
    return true
  }

  #renew(lease: Lease, leaseMs: number, now: number): Renewal {
    const held = this.#sql.extend.get(now + leaseMs, lease.id, lease.attempt) as { canceled: number } | undefined
    return held === undefined ? { kind: 'lost' } : { kind: 'held', cancelRequested: held.canceled === 1 }
  }

  #claim(request: ClaimRequest, now: number): ClaimResult {
    const result = { claims: [] as Claim[], ended: [] as Operation[] }
    if ('id' in request.from) {
      const operation = this.#sql.read.get(request.from.id)
      if (operation !== undefined) this.#claimEach([operation], request, now, result)
      return result
    }
    for (const { type, limit } of request.from.types) {
      const room = Math.min(limit, request.from.limit - result.claims.length)
      if (room > 0) this.#claimEach(this.#ready(type, room, now, now), request, now, result)
    }
    return result
  }

  #claimEach(
    operations: readonly Operation[],
    request: ClaimRequest,
    now: number,
    { claims, ended }: { claims: Claim[]; ended: Operation[] },
  ): void {
    for (const operation of operations) {
      const after = claimed(operation, request, now)
      if (after === undefined) continue
      const input = this.#sql.payload.get(after.id, 0) as { body: string } | undefined
      if (input === undefined) ended.push(...this.#endWithoutInput(after, now))
      else {
        this.#save(after)
        claims.push({ operation: after, input: input.body })
      }
    }
  }

  #endWithoutInput(operation: Operation, now: number): Operation[] {
    const { attempt } = operation
    const ended = changed(operation, { kind: 'finish', attempt, outcome: INPUT_LOST }, now)
    if (ended === undefined) return []
    this.#save(ended)
    return [ended]
  }

  #launch(types: readonly string[], limit: number, holdMs: number, now: number): Operation[] {
    const launched: Operation[] = []
    for (const type of types) {
      for (const operation of this.#ready(type, limit - launched.length, now, 0)) {
        const after = launching(operation, holdMs, now)
        if (after === undefined) continue
        this.#save(after)
        launched.push(after)
      }
    }
    return launched
  }

  /** @param startAfter those whose start deadline is not after it are passed over: the sweep ends them */
  #ready(type: string, limit: number, now: number, startAfter: number): Operation[] {
    if (this.#sql.anyDue.get(type, now) !== undefined) this.#sql.promote.run(type, now, PROMOTE_LIMIT)
    return this.#sql.ready.all(type, startAfter, limit)
  }

  /** Due times that were written by a clock which has been set back since. */
  #reschedule(now: number): number {
    const operations = this.#sql.ahead.all(now + SET_BACK_MS, PROMOTE_LIMIT)
    for (const operation of operations) {
      const after = rescheduled(operation, now)
      if (after !== undefined) this.#save(after)
    }
    return operations.length
  }

  #expire(limit: number, now: number, aheadMs: number): number {
    const operations = [...this.#sql.lapsed.all(now - aheadMs, limit), ...this.#sql.unstarted.all(now, limit)]
    let count = 0
    for (const operation of operations) {
      const after = expired(operation, now, aheadMs)
      if (after === undefined) continue
      this.#save(after)
      count++
    }
    return count
  }

  /** First the payloads go and a record stays to say so; the record goes after as long again, 1 to 30 days. */
  #purge(limit: number, now: number): string[] {
    const rows = this.#sql.purgeable.all(now, limit) as { id: string; purged: number; retention: number }[]
    for (const { id, purged, retention } of rows) {
      if (purged === 1) {
        this.#sql.deleteOperation.run(id)
        continue
      }
      for (const statement of this.#sql.deleteBeside) statement.run(id)
      this.#sql.entomb.run(now + Math.min(Math.max(retention, DAY), 30 * DAY), id)
    }
    return rows.map(({ id }) => id)
  }

  #restore(dumps: readonly Dump[]): undefined {
    for (const dump of dumps) this.#sql.restore(dump)
  }

  #save(operation: Operation): void {
    const { changes } = this.#sql.update.run(...updateValues(operation))
    if (Number(changes) !== 1) throw new Error(`The finished operation ${operation.id} was about to be changed.`)
  }
}

/** Claims and launches take what is ready; everything else may make something ready. */
function takes(write: Write): boolean {
  return write.kind === 'claim' || write.kind === 'launch'
}

type Statements = ReturnType<typeof prepare>

function prepare(database: Database) {
  const sql = (text: string) => database.prepare(text)
  const records = (text: string) => new RecordQuery(database, `${RECORDS} ${text}`)
  return {
    begin: sql('BEGIN IMMEDIATE'),
    commit: sql('COMMIT'),
    insert: sql(INSERT),
    update: sql(UPDATE),
    // These come often, and so neither read whole records nor write what is indexed without need.
    extend: sql(`
      UPDATE operations SET lease_until = ? WHERE id = ? AND status = 1 AND attempt = ?
      RETURNING cancel_requested AS canceled`),
    owns: sql('SELECT 1 FROM operations WHERE id = ? AND status = 1 AND attempt = ?'),
    progress: sql(PROGRESS),
    read: records('WHERE id = ?'),
    byKey: records('WHERE type = ? AND owner = ? AND idempotency_key = ?'),
    payload: sql('SELECT body FROM payloads WHERE id = ? AND kind = ?'),
    putPayload: sql('INSERT OR REPLACE INTO payloads (id, kind, body) VALUES (?, ?, ?)'),
    putDuration: sql(`
      INSERT INTO durations (type, slot, ms, at)
      SELECT ?, 1 + coalesce(max(slot), 0), ?, ? FROM durations WHERE type = ?`),
    dropDurations: sql(`
      DELETE FROM durations WHERE type = ? AND slot <= (SELECT max(slot) FROM durations WHERE type = ?) - ?`),
    putStep: sql('INSERT INTO steps (id, name, value) VALUES (?, ?, ?) ON CONFLICT DO NOTHING'),
    putLog: sql(`
      INSERT INTO logs (id, sequence, at, attempt, level, message)
      SELECT ?, 1 + coalesce((SELECT max(sequence) FROM logs WHERE id = ?), 0), ?, ?, ?, ?
      WHERE coalesce((SELECT max(sequence) FROM logs WHERE id = ?), 0) < ?`),
    anyDue: sql('SELECT 1 FROM operations WHERE type = ? AND status = 0 AND run_at <= ? LIMIT 1'),
    promote: sql(`
      UPDATE operations SET run_at = NULL WHERE id IN (
        SELECT id FROM operations WHERE type = ? AND status = 0 AND run_at <= ? ORDER BY run_at LIMIT ?)`),
    ready: records(`
      WHERE type = ? AND status = 0 AND run_at IS NULL AND (start_by IS NULL OR start_by > ? OR attempt > 0)
      ORDER BY priority DESC, id LIMIT ?`),
    lapsed: records('WHERE status = 1 AND lease_until <= ? ORDER BY lease_until LIMIT ?'),
    ahead: records(`
      INDEXED BY operations_delayed WHERE status = 0 AND run_at IS NOT NULL AND updated_at > ? LIMIT ?`),
    unstarted: records(`
      WHERE status = 0 AND start_by IS NOT NULL AND start_by <= ? AND attempt = 0 LIMIT ?`),
    purgeable: sql(`
      SELECT id, purged, retention FROM operations WHERE purge_at IS NOT NULL AND purge_at <= ? ORDER BY purge_at LIMIT ?`),
    entomb: sql('UPDATE operations SET purged = 1, idempotency_key = NULL, purge_at = ? WHERE id = ?'),
    webhookAccepted: sql('UPDATE operations SET webhook_due = 0 WHERE id = ?'),
    deleteOperation: sql('DELETE FROM operations WHERE id = ?'),
    restore: prepareRestore(database),
    check: sql("INSERT OR REPLACE INTO meta (key, value) VALUES ('checked_at', ?)"),
    deleteBeside: ['payloads', 'steps', 'logs'].map(table => sql(`DELETE FROM ${table} WHERE id = ?`)),
  }
}
