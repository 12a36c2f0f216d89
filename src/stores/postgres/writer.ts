/** Writes batches: each batch is one statement, which takes effect completely or not at all. */

import type { Change, Operation } from '../../model/operation.ts'
import { accepted, changed, expired } from '../../model/state-machine.ts'
import type { Submission, SubmissionLimits } from '../../model/submission.ts'
import { eventText, waitStep } from '../../model/waits.ts'
import { isId } from '../../util/is-id.ts'
import type { ClockSteps } from '../clock-steps.ts'
import type { Acceptance, Lease, Note, SweepResult } from '../store.ts'
import { BUSY } from './busy-lane.ts'
import type { JoiningClaim } from './claims.ts'
import { type ChangeItem, completionRows, isUnderWay } from './completions.ts'
import { BEGIN, COMMIT, type Connections, ROLLBACK, send, sqlState } from './connections.ts'
import { acceptRow, isLimited, isPlain, plainParameters } from './plain-submissions.ts'
import type { PostgresQueryable, Row } from './pool.ts'
import { Retention } from './retention.ts'
import { changedRow, LAST_ERROR, operationsOf, RECORD_WIDTH, toOperation } from './rows.ts'
import { type RunningRecords, toCompleted } from './running-records.ts'
import type { Statements } from './statements.ts'
import { storable } from './text.ts'

/** Something to keep beside an operation. */
export interface NoteItem {
  readonly lease: Lease
  readonly note: Note
}

/** Options of {@link Writer}. */
export interface WriterOptions {
  readonly connections: Connections
  readonly statements: Statements
  /** A clock that replaces the server's; null: the server's clock is used. */
  readonly now: () => number | null
  readonly steps: ClockSteps
  readonly running: RunningRecords
}

/** Messages for other processes, or null for none. */
export type Telling = readonly string[] | null

type Limit = keyof SubmissionLimits

/** How an acceptance reaches the server. */
interface AcceptCalls {
  /**
   * Returns the id and the time of each accepted submission. For the others it returns the id, null, and `busy` or the
   * limit that would be exceeded.
   */
  readonly insert: (submissions: readonly Submission[]) => Promise<Row[]>
  readonly known: (asked: readonly object[]) => Promise<Row[]>
}

/** A record as it was read, and the version of its row. */
interface Seen {
  readonly operation: Operation
  readonly version: string
}

/** A record that replaces the row from which it was made. */
interface Saving extends Seen {
  readonly output?: string
  /** JSON text of what the attempt threw. */
  readonly thrown?: string
  /** The events that arrived for its waits, as steps. */
  readonly events?: readonly { readonly name: string; readonly value: string }[]
}

const UNIQUE_VIOLATION = '23505'

/** How many times submissions are inserted or looked up before they are given up. */
const MOST_ROUNDS = 100

export class Writer {
  readonly #connections: Connections
  readonly #statements: Statements
  readonly #now: () => number | null
  readonly #steps: ClockSteps
  readonly #running: RunningRecords
  readonly #retention: Retention

  constructor({ connections, statements, now, steps, running }: WriterOptions) {
    this.#connections = connections
    this.#statements = statements
    this.#now = now
    this.#steps = steps
    this.#running = running
    this.#retention = new Retention({ connections, statements, now })
  }

  /**
   * Accepts submissions, and of those with the same key one. If a transaction of a caller has locked the key, the
   * answer is busy.
   *
   * @param telling messages that the commit sends; only for submissions that are all {@link isPlain}
   */
  async accept(
    submissions: readonly Submission[],
    until: number,
    telling: Telling = null,
  ): Promise<(Acceptance | typeof BUSY)[]> {
    const { accept, known } = this.#statements
    return await this.#accept(submissions, {
      insert: batch => {
        if (batch.every(isPlain)) return this.#insertPlain(batch, until, telling)
        if (batch.some(({ steps = [] }) => steps.length > 0)) return this.#insertWithSteps(batch, until)
        if (batch.some(isLimited)) return this.#insertLimited(batch, until)
        return this.#connections.run(accept, [this.#now(), JSON.stringify(batch.map(acceptRow)), null], until)
      },
      known: asked => this.#connections.run(known, [JSON.stringify(asked)], until),
    })
  }

  /**
   * Accepts one submission in a transaction of the caller, on its client alone. It takes no lock for a limit: the lock
   * would last as long as that transaction, and delay every other submission.
   */
  async acceptWithin(submission: Submission, transaction: PostgresQueryable): Promise<Acceptance> {
    const { acceptWithin, limitedWithin, known } = this.#statements
    const insert = isLimited(submission) ? limitedWithin : acceptWithin
    const [acceptance] = await this.#accept([submission], {
      insert: async batch => {
        const rows = await send(transaction, insert, [this.#now(), JSON.stringify(batch.map(limitedRow))])
        await this.#insertSteps(batch, transaction)
        return rows
      },
      known: asked => send(transaction, known, [JSON.stringify(asked)]),
    })
    if (acceptance === undefined || acceptance === BUSY) {
      throw new Error(`The submission ${submission.id} had no answer.`)
    }
    return acceptance
  }

  /** Inserts all of them. If some ids are known already, inserts the others. */
  async #insertPlain(batch: readonly Submission[], until: number, telling: Telling): Promise<Row[]> {
    const { acceptPlain, accept } = this.#statements
    const parameters = plainParameters(batch)
    try {
      if (parameters !== undefined) {
        const values = [this.#now(), telling, ...parameters]
        const [[now] = []] = await this.#connections.run(acceptPlain, values, until)
        return batch.map(({ id }) => [id, now, null])
      }
    } catch (error) {
      if (sqlState(error) !== UNIQUE_VIOLATION) throw error
    }
    return await this.#connections.run(accept, [this.#now(), JSON.stringify(batch.map(acceptRow)), telling], until)
  }

  /** Inserts under the locks of the limits, so that only one process counts and writes at a time. */
  async #insertLimited(batch: readonly Submission[], until: number): Promise<Row[]> {
    const { acceptLimited, lockScopes } = this.#statements
    const scopes = [...new Set(batch.flatMap(submission => this.#scopesOf(submission)))]
    return await this.#connections.runTogether(
      [
        [lockScopes, [JSON.stringify(scopes)]],
        [acceptLimited, [this.#now(), JSON.stringify(batch.map(limitedRow))]],
      ],
      until,
    )
  }

  /** Inserts operations and their steps in one transaction, so that nobody claims an operation without its steps. */
  async #insertWithSteps(batch: readonly Submission[], until: number): Promise<Row[]> {
    const { acceptLimited, lockScopes } = this.#statements
    const scopes = [...new Set(batch.flatMap(submission => this.#scopesOf(submission)))]
    return await this.#connections.use(async client => {
      await send(client, BEGIN, [])
      try {
        await send(client, lockScopes, [JSON.stringify(scopes)])
        const rows = await send(client, acceptLimited, [this.#now(), JSON.stringify(batch.map(limitedRow))])
        await this.#insertSteps(batch, client)
        await send(client, COMMIT, [])
        return rows
      } catch (error) {
        await send(client, ROLLBACK, []).catch(() => {})
        throw error
      }
    }, until)
  }

  async #insertSteps(batch: readonly Submission[], client: PostgresQueryable): Promise<void> {
    const rows = batch.flatMap(({ id, steps = [] }) => steps.map(([name, value]) => ({ id, name, value })))
    if (rows.length > 0) await send(client, this.#statements.acceptSteps, [JSON.stringify(rows)])
  }

  /** The names of the locks. They contain the schema, so other schemas of the database have different locks. */
  #scopesOf({ type, owner, limits }: Submission): string[] {
    const prefix = this.#statements.accept.name
    const scopes: string[] = []
    if (limits?.inFlight !== undefined) scopes.push(JSON.stringify([prefix, type, owner]))
    if (limits?.backlog !== undefined) scopes.push(JSON.stringify([prefix, type]))
    return scopes
  }

  async #accept(
    submissions: readonly Submission[],
    { insert, known }: AcceptCalls,
  ): Promise<(Acceptance | typeof BUSY)[]> {
    const answers = new Map<Submission, Acceptance | typeof BUSY>()
    let left = submissions
    // A conflicting operation may be purged before it is read. Then the insert is tried again.
    for (let round = 0; left.length > 0; round++) {
      if (round === MOST_ROUNDS) throw new Error('Submissions were neither inserted nor found.')
      const inserted = await insert(left)
      for (const [submission, acceptance] of insertedAmong(left, inserted)) answers.set(submission, acceptance)
      left = left.filter(submission => !answers.has(submission))
      if (left.length === 0) break
      for (const [submission, acceptance] of await knownAmong(left, known)) answers.set(submission, acceptance)
      left = left.filter(submission => !answers.has(submission))
      for (const [submission, acceptance] of refusedAmong(left, inserted)) answers.set(submission, acceptance)
      for (const submission of busyAmong(left, inserted)) answers.set(submission, BUSY)
      left = left.filter(submission => !answers.has(submission))
    }
    return submissions.map(submission => answers.get(submission) as Acceptance | typeof BUSY)
  }

  /**
   * Completes attempts, in one statement that reads nothing before.
   *
   * @param items all of {@link completionRows}
   * @param telling messages that the commit sends
   */
  async complete(
    items: readonly ChangeItem[],
    until: number,
    telling: Telling,
  ): Promise<(Operation | typeof BUSY | undefined)[]> {
    const values = [this.#now(), JSON.stringify(completionRows(items)), telling]
    const rows = await this.#connections.run(this.#statements.complete, values, until)
    return await this.#completedAmong(items, rows, until)
  }

  /**
   * Completes attempts and claims, in one statement.
   *
   * @param claim the parameters of a claim
   * @param claimed called with the rows that the claim alone would return
   * @param telling messages that the commit sends
   * @returns the results of the completions
   */
  async finishAndClaim(
    items: readonly ChangeItem[],
    { given, resolve }: JoiningClaim,
    until: number,
    telling: Telling,
  ): Promise<(Operation | typeof BUSY | undefined)[]> {
    const values = [...given, JSON.stringify(completionRows(items)), telling]
    const rows = await this.#connections.run(this.#statements.finishAndClaim, values, until)
    resolve(rows.filter(row => row.at(-1) === true).map(row => row.slice(0, -1)))
    const others = rows.filter(row => row.at(-1) === false)
    return await this.#completedAmong(items, others, until)
  }

  /**
   * The results of completions. Records that others have changed too are read. Those that were not saved have lost their
   * attempts, or another transaction has locked their rows: then they are still running.
   */
  async #completedAmong(
    items: readonly ChangeItem[],
    rows: readonly Row[],
    until: number,
  ): Promise<(Operation | typeof BUSY | undefined)[]> {
    const ends = new Map(rows.map(row => [row[0], toCompleted(row)]))
    const answers = new Map<string, Operation | typeof BUSY>()
    for (const { id, change } of items) {
      const end = ends.get(id)
      const after = end && this.#running.end(id, change, end)
      if (after !== undefined) answers.set(id, after)
    }
    const others = items.filter(({ id }) => isId(id) && !answers.has(id))
    const ids = others.map(({ id }) => id)
    const read = ids.length === 0 ? [] : await this.#connections.run(this.#statements.read, [ids], until)
    const seen = operationsOf(ids, read)
    for (const [index, { id, change }] of others.entries()) {
      const record = seen[index]
      if (record !== undefined && ends.has(id)) answers.set(id, record)
      else if (isUnderWay(record, change)) answers.set(id, BUSY)
    }
    return items.map(({ id }) => answers.get(id))
  }

  /**
   * Applies changes one after the other, and writes each record that results once. A record that another transaction
   * has locked, or has changed in between, is left unchanged, and its changes are answered as busy.
   */
  async change(items: readonly ChangeItem[], until: number): Promise<(Operation | typeof BUSY | undefined)[]> {
    const ids = [...new Set(items.map(({ id }) => id).filter(isId))]
    const rows =
      ids.length === 0 ? [] : await this.#connections.run(this.#statements.versions, [this.#now(), ids], until)
    const records = new Map(rows.map(row => [row[0] as string, toSeen(row)]))
    const now = Number(rows[0]?.[RECORD_WIDTH + 1])
    const saving = new Map<string, Saving>()
    const results = items.map(({ id, change }) => {
      const before = saving.get(id) ?? records.get(id)
      const after = before && applied(before, change, now)
      if (after !== undefined) saving.set(id, after)
      return after?.operation
    })
    const saved = await this.#save([...saving.values()], until)
    for (const { operation } of saving.values()) if (saved.has(operation.id)) this.#running.note(operation)
    return items.map(({ id }, index) => (saving.has(id) && !saved.has(id) ? BUSY : results[index]))
  }

  /** Ends operations whose lease or deadline has passed, and deletes those that have passed their retention. */
  async sweep(limit: number): Promise<SweepResult> {
    const [[now, firstLapse, hasEnded, isPurgeDue] = []] = await this.#connections.run(this.#statements.sweepDue, [
      this.#now(),
      this.#retention.from,
    ])
    const { aheadMs, mayBeBack } = this.#steps.look(Number(now))
    if (mayBeBack) await this.#reschedule()
    const hasLapsed = firstLapse !== null && Number(firstLapse) <= Number(now) - aheadMs
    const expired = hasLapsed || hasEnded === true ? await this.#expire(limit, aheadMs) : []
    // What has just expired may have no retention.
    const mayPurge = isPurgeDue === true || expired.length > 0 || this.#retention.from > 0
    return { expired, purged: mayPurge ? await this.#retention.purge(limit) : [] }
  }

  async #expire(limit: number, aheadMs: number): Promise<Operation[]> {
    const rows = await this.#connections.run(this.#statements.lapsed, [this.#now(), limit, aheadMs])
    const now = Number(rows[0]?.[RECORD_WIDTH + 1])
    const saving = rows.map(toSeen).flatMap(({ operation, version }) => {
      const after = expired(operation, now, aheadMs)
      return after === undefined ? [] : [{ operation: after, version }]
    })
    // Operations that others have changed in between are checked again by the next sweep.
    const saved = await this.#save(saving)
    return saving.map(({ operation }) => operation).filter(({ id }) => saved.has(id))
  }

  /** Corrects due times that were written before the clock was set back, in batches. */
  async #reschedule(): Promise<void> {
    let more: unknown = true
    while (more === true) {
      const [row] = await this.#connections.run(this.#statements.reschedule, [this.#now()])
      more = row?.[0]
    }
    this.#steps.noteRescheduled()
  }

  /** Keeps steps and log lines in order. */
  async note(items: readonly NoteItem[], until: number): Promise<(boolean | typeof BUSY)[]> {
    const given = items.map(({ lease, note }, place) => ({ place, ...lease, ...noteRow(note) }))
    const known = given.filter(({ id }) => isId(id))
    const rows = await this.#connections.run(this.#statements.note, [this.#now(), JSON.stringify(known)], until)
    const answers = new Map(
      rows.map(([place, kept]): [unknown, true | typeof BUSY] => [place, kept === true ? true : BUSY]),
    )
    return items.map((_, place) => answers.get(place) ?? false)
  }

  /** Writes records over the rows from which they were made. Returns the ids of those whose rows had not changed. */
  async #save(saving: readonly Saving[], until?: number): Promise<ReadonlySet<string>> {
    if (saving.length === 0) return new Set()
    const given = saving.map(({ operation, version, output, thrown, events }) => {
      return { id: operation.id, seen: version, output, thrown, events, ...changedRow(operation) }
    })
    const rows = await this.#connections.run(this.#statements.save, [this.#now(), JSON.stringify(given)], until)
    return new Set(rows.map(([id]) => id as string))
  }
}

function insertedAmong(submissions: readonly Submission[], rows: readonly Row[]): Map<Submission, Acceptance> {
  const times = new Map(rows.map(([id, at]) => [id as string, at]))
  const answers = new Map<Submission, Acceptance>()
  for (const submission of submissions) {
    const at = times.get(submission.id) ?? null
    if (at === null) continue
    answers.set(submission, { kind: 'accepted', operation: accepted(submission, Number(at)) })
    // Of equal ids, only the first one counts.
    times.delete(submission.id)
  }
  return answers
}

/** Of equal keys, only the first one was counted: if it is refused, all of them are. */
function refusedAmong(submissions: readonly Submission[], rows: readonly Row[]): Map<Submission, Acceptance> {
  const refused = rows.filter(([, at, why]) => at === null && why !== 'busy')
  const byId = new Map(refused.map(([id, , limit]) => [id as string, limit as Limit]))
  const byKey = new Map(submissions.map(submission => [keyOf(submission), byId.get(submission.id)] as const).reverse())
  return new Map(
    submissions.flatMap(submission => {
      const limit = byKey.get(keyOf(submission))
      return limit === undefined ? [] : [[submission, { kind: 'refused', limit }]]
    }),
  )
}

function busyAmong(submissions: readonly Submission[], rows: readonly Row[]): Submission[] {
  const busy = new Set(rows.flatMap(([id, , why]) => (why === 'busy' ? [id] : [])))
  return submissions.filter(({ id }) => busy.has(id))
}

function keyOf({ id, type, owner, idempotencyKey }: Submission): string {
  return idempotencyKey === null ? id : JSON.stringify([type, owner, idempotencyKey])
}

async function knownAmong(
  submissions: readonly Submission[],
  known: AcceptCalls['known'],
): Promise<Map<Submission, Acceptance>> {
  const rows = await known(
    submissions.map(({ id, type, owner, idempotencyKey }, place) => ({ place, id, type, owner, key: idempotencyKey })),
  )
  const answers = new Map<Submission, Acceptance>()
  for (const [place, ...row] of rows) {
    const submission = submissions[place as number]
    const operation = toOperation(row)
    const kind = operation.id === submission?.id ? 'accepted' : 'known'
    if (submission !== undefined) answers.set(submission, { kind, operation })
  }
  return answers
}

function toSeen(row: Row): Seen {
  return { operation: toOperation(row), version: row[RECORD_WIDTH] as string }
}

function applied(before: Saving, change: Change, now: number): Saving | undefined {
  const operation = changed(before.operation, change, now)
  if (operation === undefined) return undefined
  if (change.kind === 'event') {
    const event = { name: waitStep(change.name), value: eventText(change.value, now) }
    return { ...before, operation, events: [...(before.events ?? []), event] }
  }
  if (change.kind !== 'finish') return { ...before, operation }
  if ('error' in change.outcome && change.outcome.error !== undefined && change.attempt <= LAST_ERROR) {
    return { ...before, operation, thrown: JSON.stringify(change.outcome.error) }
  }
  if (change.outcome.kind !== 'completed') return { ...before, operation }
  return { ...before, operation, output: change.outcome.output }
}

function limitedRow(submission: Submission, place: number) {
  const { limits } = submission
  return { ...acceptRow(submission), place, in_flight_limit: limits?.inFlight, backlog_limit: limits?.backlog }
}

function noteRow(note: Note) {
  if (note.kind === 'step') return { name: note.name, value: note.value }
  return { level: storable(note.level), message: storable(note.message) }
}
