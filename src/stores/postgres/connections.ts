/**
 * All statements go through this file. Each takes a connection from the pool, has a time limit, and returns the
 * connection, or closes it if it can no longer be trusted.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { retry } from '../../util/retry-call.ts'
import { cancelStatement } from './cancel.ts'
import { before, LateError } from './deadline.ts'
import type { PostgresClient, PostgresPool, PostgresQueryable, Row } from './pool.ts'
import { Reuse } from './reuse.ts'
import type { TableGrowth } from './table-growth.ts'
import { inlined } from './text.ts'

/** A statement's text, and the name it is prepared under. */
export interface Statement {
  readonly name: string
  readonly text: string
}

/**
 * For several statements in one transaction. The server ends it if the process sends nothing for a while: one that is
 * frozen, or cut off, would keep its locks for hours.
 */
export const BEGIN: Statement = { name: '', text: "BEGIN; SET LOCAL idle_in_transaction_session_timeout = '15s'" }
export const COMMIT: Statement = { name: '', text: 'COMMIT' }
export const ROLLBACK: Statement = { name: '', text: 'ROLLBACK' }

/** Sends one statement, and returns its rows. */
export async function send(to: PostgresQueryable, { text }: Statement, values: unknown[]): Promise<Row[]> {
  const { rows } = await to.query({ text, values, rowMode: 'array' })
  return rows
}

/** The part of the time limit of a call that is reserved for a cancel request and the answer to it. */
const CANCEL_PART = 0.1

/** Selects whether a connection leads to a standby, and whether its transactions are read-only. */
const ROLE_TEXT = `SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on'`

const STANDBY = 'The PostgreSQL server is a standby, which may lag and takes no writes: connect to the primary.'

const TOO_MANY_CONNECTIONS = '53300'
/** The pauses while the server has no connection left, in milliseconds. */
const FIRST_PAUSE_MS = 50
const LONGEST_PAUSE_MS = 500

/** What needs a connection. */
type Work<T> = (client: PostgresClient) => Promise<T>

/** Connections of a pool. */
export class Connections {
  readonly #pool: PostgresPool
  /** How long a call may take, in milliseconds, until the server is asked to end it. */
  readonly limitMs: number
  readonly #cancelMs: number
  /** When a connection last answered, by the monotonic clock. */
  readonly #answered = new WeakMap<PostgresClient, number>()
  /** Connections that have been silent since before this are not used again. */
  #suspectBefore = 0
  /** When a connection was last seen to lead to a primary, by the monotonic clock. */
  readonly #seenPrimary = new WeakMap<PostgresClient, number>()
  /** Connections that were not seen to lead to a primary since then are checked before they are used again. */
  #doubtBefore = 0
  /** Where statements are prepared. */
  #growth: TableGrowth | undefined
  #reuse: Reuse | undefined

  constructor(pool: PostgresPool, timeoutMs: number) {
    this.#pool = pool
    this.#cancelMs = timeoutMs * CANCEL_PART
    this.limitMs = timeoutMs - this.#cancelMs
  }

  /** From now on a lost connection does not end the process, whether it is in use or idle. */
  guard(): void {
    this.#pool.on('error', ignore)
    // The guard is added at once: a server that stops may send its error before the waiting caller gets the connection.
    this.#pool.on('connect', guardClient)
  }

  unguard(): void {
    this.#pool.off('error', ignore)
    this.#pool.off('connect', guardClient)
  }

  /** The most connections at once. */
  get max(): number {
    return this.#pool.options?.max ?? Number.POSITIVE_INFINITY
  }

  /**
   * From now on statements are prepared, each once on each connection; their plans follow the growth of the tables. So a
   * further connection is dear, and is only opened where those in use do not suffice.
   */
  prepareStatements(growth: TableGrowth): void {
    this.#growth = growth
    this.#reuse = new Reuse({ pool: this.#pool, limitMs: this.limitMs })
  }

  /** The time by which a call that begins now must end, by the monotonic clock. */
  deadline(): number {
    return performance.now() + this.limitMs
  }

  /** Runs one statement in a transaction of its own. */
  async run({ name, text }: Statement, values: unknown[], until?: number): Promise<Row[]> {
    const growth = this.#growth
    growth?.look()
    return await this.use(async client => {
      await growth?.refresh(client)
      const query = { text, values, rowMode: 'array' } as const
      if (growth === undefined) return (await client.query(query)).rows
      try {
        return (await client.query({ ...query, name })).rows
      } catch (error) {
        if (!isUnprepared(error)) throw error
        this.#growth = undefined
        return (await client.query(query)).rows
      }
    }, until)
  }

  /**
   * Runs statements in one transaction and one round trip, without preparing them: each statement sees what was
   * committed before it began. Their parameters become literals.
   *
   * @returns the rows of the last one
   */
  async runTogether(calls: readonly (readonly [Statement, unknown[]])[], until?: number): Promise<Row[]> {
    const text = calls.map(([statement, values]) => inlined(statement.text, values)).join(';\n')
    const results: unknown = await this.use(client => client.query({ text, values: [], rowMode: 'array' }), until)
    const last = Array.isArray(results) ? results.at(-1) : results
    return (last as { rows: Row[] }).rows
  }

  /**
   * Gives a connection to some work, for as long as it takes.
   *
   * @param until when the work must be done; after that the server is asked to end it. Default {@link deadline}
   */
  async use<T>(work: Work<T>, until: number = this.deadline()): Promise<T> {
    const reuse = this.#reuse
    if (reuse === undefined) return await this.#useOf(this.take(until), work, until)
    const turn = await reuse.turn()
    const taking = this.take(until).finally(() => reuse.taken(turn))
    try {
      return await this.#useOf(taking, work, until)
    } finally {
      reuse.ended()
    }
  }

  async #useOf<T>(taking: Promise<PostgresClient>, work: Work<T>, until: number): Promise<T> {
    const client = await taking
    const began = performance.now()
    const working = work(client)
    try {
      const result = await before(until, working)
      this.#answered.set(client, performance.now())
      this.giveBack(client)
      return result
    } catch (error) {
      if (error instanceof LateError) return await this.#end(client, working, began)
      const state = sqlState(error)
      if (state === undefined) this.suspect(began)
      const isDoubtful = state === undefined || isOfServer(state)
      if (isDoubtful) this.#doubtBefore = performance.now()
      this.giveBack(client, isDoubtful)
      throw error
    }
  }

  /** Ends a statement for which nobody waits any longer. The last answer of the server counts, whichever it is. */
  async #end<T>(client: PostgresClient, working: Promise<T>, began: number): Promise<T> {
    cancelStatement(client)
    try {
      return await before(performance.now() + this.#cancelMs, working)
    } catch (error) {
      if (sqlState(error) === undefined) this.suspect(began)
      throw new Error('PostgreSQL did not answer in time.', { cause: error })
    } finally {
      this.giveBack(client, true)
    }
  }

  /** Takes a connection out of the pool. */
  async take(until: number = this.deadline()): Promise<PostgresClient> {
    for (;;) {
      const client = await this.#connect(until)
      client.on('error', ignore)
      const isSilent = (this.#answered.get(client) ?? Number.POSITIVE_INFINITY) < this.#suspectBefore
      if (!isSilent && (await this.#leadsToPrimary(client, until))) return client
      this.giveBack(client, true)
    }
  }

  /**
   * Whether a connection leads to a primary. Each new connection is checked, and after failed writes all others too. An
   * older connection may lead to a server that is no longer the primary: it is replaced by a new connection to the same
   * address.
   *
   * @throws where a new connection leads to a standby
   */
  async #leadsToPrimary(client: PostgresClient, until: number): Promise<boolean> {
    const seen = this.#seenPrimary.get(client)
    if (seen !== undefined && seen >= this.#doubtBefore) return true
    const began = performance.now()
    try {
      const { rows } = await before(until, client.query({ text: ROLE_TEXT, values: [], rowMode: 'array' }))
      const [isStandby, isReadOnly] = rows[0] ?? []
      if (seen !== undefined && (isStandby === true || isReadOnly === true)) return false
      if (isStandby === true) throw new Error(STANDBY)
      this.#seenPrimary.set(client, began)
      return true
    } catch (error) {
      if (seen !== undefined && !(error instanceof LateError)) return false
      this.giveBack(client, true)
      throw error
    }
  }

  giveBack(client: PostgresClient, destroy = false): void {
    client.release(destroy)
    // One that is being closed may still report an error.
    if (!destroy) client.off('error', ignore)
  }

  /** Called when a connection was found dead: connections that have not answered since may be dead too. */
  suspect(since: number): void {
    this.#suspectBefore = Math.max(this.#suspectBefore, since)
  }

  /** Connects. If the server has no connection left, it waits until others return theirs. */
  async #connect(until: number): Promise<PostgresClient> {
    let pauseMs = FIRST_PAUSE_MS
    return await retry(
      () => this.#connectOnce(until),
      async error => {
        if (sqlState(error) !== TOO_MANY_CONNECTIONS || performance.now() + pauseMs >= until) throw error
        await sleep(pauseMs)
        pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)
      },
    )
  }

  async #connectOnce(until: number): Promise<PostgresClient> {
    const connecting = this.#pool.connect()
    try {
      return await before(until, connecting)
    } catch (error) {
      // A connection that arrives too late is returned unused, since nobody waits for it any longer.
      connecting.then(
        client => client.release(),
        () => {},
      )
      throw error
    }
  }
}

function ignore(): void {}

function guardClient(client: PostgresClient): void {
  client.on('error', ignore)
}

/** The code of an error that the server itself has answered with. */
export function sqlState(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('severity' in error) || !('code' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}

/**
 * Whether an error is about the server or the connection, and not about a statement: a connection was lost (class 08),
 * a transaction may not write (25006), the server shuts down, has crashed or is starting (57P01 to 57P03).
 */
function isOfServer(state: string): boolean {
  return state.startsWith('08') || state === '25006' || /^57P0[123]$/.test(state)
}

/**
 * Whether a statement was not run because the session does not have the statements that this connection has prepared,
 * such as behind a pooler, or after a `DEALLOCATE ALL` of the program.
 */
function isUnprepared(error: unknown): boolean {
  const state = sqlState(error)
  return state === '26000' || state === '42P05'
}

/** Classes of errors that a single row of a batch can cause: by its data, a constraint, a lock or its size. */
const OF_ONE_ROW = ['21', '22', '23', '40', '54', '55', 'P0']

/** Whether the same statement with fewer rows may succeed. */
export function isOfOneRow(error: unknown): boolean {
  // A value that JSON cannot represent, or that is too long for a string, never reached the server.
  if (error instanceof TypeError || error instanceof RangeError) return true
  const state = sqlState(error)
  return state !== undefined && OF_ONE_ROW.includes(state.slice(0, 2))
}
