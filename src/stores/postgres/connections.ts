/**
 * The one way to the server: each statement takes a connection out of the pool, has a limit of
 * time, and gives the connection back, or away where it can no longer be trusted.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { cancelStatement } from './cancel.ts'
import { before, LateError } from './deadline.ts'
import type { PostgresClient, PostgresPool, PostgresQueryable, Row } from './pool.ts'
import type { TableGrowth } from './table-growth.ts'
import { inlined } from './text.ts'

/** A statement's text, and the name it is prepared under. */
export interface Statement {
  readonly name: string
  readonly text: string
}

/** For several statements in one transaction. */
export const BEGIN: Statement = { name: '', text: 'BEGIN' }
export const COMMIT: Statement = { name: '', text: 'COMMIT' }
export const ROLLBACK: Statement = { name: '', text: 'ROLLBACK' }

/** Sends one statement, and gives its rows. */
export async function send(to: PostgresQueryable, { text }: Statement, values: unknown[]): Promise<Row[]> {
  const { rows } = await to.query({ text, values, rowMode: 'array' })
  return rows
}

/** The part of the time for a call that is kept for asking the server to end a statement, and for its answer to that. */
const CANCEL_PART = 0.1

/** Whether a connection leads to a standby, and whether it may not write for that or another reason. */
const ROLE_TEXT = `SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on'`

const STANDBY = 'The PostgreSQL server is a standby, which may lag and takes no writes: connect to the primary.'

const TOO_MANY_CONNECTIONS = '53300'
/** The pauses while the server has no connection left, in milliseconds. */
const FIRST_PAUSE_MS = 50
const LONGEST_PAUSE_MS = 500

/** Connections of a pool. */
export class Connections {
  readonly #pool: PostgresPool
  /** How long what is asked for may take, in milliseconds, until the server is asked to end it. */
  readonly limitMs: number
  readonly #cancelMs: number
  /** When a connection last answered, by the monotonic clock. */
  readonly #answered = new WeakMap<PostgresClient, number>()
  /** Connections that have been silent since before this are not used again. */
  #suspectBefore = 0
  /** When a connection was last seen to lead to a primary, by the monotonic clock. */
  readonly #seenPrimary = new WeakMap<PostgresClient, number>()
  /** Connections that were not seen to lead to a primary since then are looked at before they are used again. */
  #doubtBefore = 0
  /** Where statements are prepared. */
  #growth: TableGrowth | undefined

  constructor(pool: PostgresPool, timeoutMs: number) {
    this.#pool = pool
    this.#cancelMs = timeoutMs * CANCEL_PART
    this.limitMs = timeoutMs - this.#cancelMs
  }

  /** From now on a lost connection does not end the process, whether it is in use or idle. */
  guard(): void {
    this.#pool.on('error', ignore)
    // At once: a server that stops may have said so before the waiting caller gets the connection.
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

  /** From now on statements are prepared, each once on each connection; their plans follow the growth of the tables. */
  prepareStatements(growth: TableGrowth): void {
    this.#growth = growth
  }

  /** Until when what is asked for now is to be done, by the monotonic clock. */
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
   * Runs statements in one transaction and one round trip, without preparing them: each sees what was committed before
   * it began. Their parameters become literals.
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
   * Has a connection for as long as the work takes.
   *
   * @param until when the work is to be done; default {@link deadline}. Then the server is asked to end it
   */
  async use<T>(work: (client: PostgresClient) => Promise<T>, until: number = this.deadline()): Promise<T> {
    const client = await this.take(until)
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

  /** Nothing is done in the server that nobody waits for any more. Its last answer counts, whichever it is. */
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
   * Whether a connection leads to a primary; asked of each new one, and of all others once writes have failed. One that
   * was used before may lead to a server that is not the primary any more: it is replaced, and the address decides.
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

  /** A connection was found dead: those that have not answered since may be as dead, without knowing. */
  suspect(since: number): void {
    this.#suspectBefore = Math.max(this.#suspectBefore, since)
  }

  /** Where the server has no connection left, one is waited for: others give theirs back. */
  async #connect(until: number): Promise<PostgresClient> {
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
      try {
        return await this.#connectOnce(until)
      } catch (error) {
        if (sqlState(error) !== TOO_MANY_CONNECTIONS || performance.now() + pauseMs >= until) throw error
        await sleep(pauseMs)
      }
    }
  }

  async #connectOnce(until: number): Promise<PostgresClient> {
    const connecting = this.#pool.connect()
    try {
      return await before(until, connecting)
    } catch (error) {
      // What comes too late is given back unused: nothing is done that no one waits for any more.
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
 * Whether an error is about the server or the way to it, and not about a statement: a connection was lost (class 08), a
 * transaction may not write (25006), the server shuts down, has crashed or is starting (57P01 to 57P03).
 */
function isOfServer(state: string): boolean {
  return state.startsWith('08') || state === '25006' || /^57P0[123]$/.test(state)
}

/**
 * Whether a statement was not run because the session has other prepared statements than this connection has made, as
 * behind a pooler, or after a `DEALLOCATE ALL` of the program.
 */
function isUnprepared(error: unknown): boolean {
  const state = sqlState(error)
  return state === '26000' || state === '42P05'
}

/** Classes of errors that one row of many can be the cause of: its data, a constraint, a lock, its size. */
const OF_ONE_ROW = ['21', '22', '23', '40', '54', '55', 'P0']

/** Whether the same statement with fewer rows may succeed. */
export function isOfOneRow(error: unknown): boolean {
  // What JSON cannot say, or no string can hold, never reached the server.
  if (error instanceof TypeError || error instanceof RangeError) return true
  const state = sqlState(error)
  return state !== undefined && OF_ONE_ROW.includes(state.slice(0, 2))
}
