/**
 * The one way to the server: each statement takes a connection out of the pool, has a limit of
 * time, and gives the connection back, or away where it can no longer be trusted.
 */
import { TimeLimit } from '../../time-limit.ts'
import type { PostgresClient, PostgresPool, PostgresQueryable, Row } from './pool.ts'

/** A statement's text, and the name it is prepared under. */
export interface Statement {
  readonly name: string
  readonly text: string
}

/** Sends one statement, and gives its rows. */
export async function send(to: PostgresQueryable, { text }: Statement, values: unknown[]): Promise<Row[]> {
  const { rows } = await to.query({ text, values, rowMode: 'array' })
  return rows
}

/** Connections of a pool. */
export class Connections {
  readonly #pool: PostgresPool
  readonly #limit: TimeLimit
  /** When a connection last answered, by the monotonic clock. */
  readonly #answered = new WeakMap<PostgresClient, number>()
  /** Connections that have been silent since before this are not used again. */
  #suspectBefore = 0
  #prepares = false

  constructor(pool: PostgresPool, timeoutMs: number) {
    this.#pool = pool
    this.#limit = new TimeLimit(timeoutMs, `PostgreSQL did not answer within ${timeoutMs} ms.`)
  }

  /** From now on a connection that is lost ends no process, whoever has it or no one. */
  guard(): void {
    this.#pool.on('error', ignore)
    // At once: a server that stops may have said so before whoever waits for the connection is given it.
    this.#pool.on('connect', guardClient)
  }

  unguard(): void {
    this.#pool.off('error', ignore)
    this.#pool.off('connect', guardClient)
  }

  /** From now on statements are prepared, each once on each connection. */
  prepareStatements(): void {
    this.#prepares = true
  }

  /** Runs one statement in a transaction of its own. */
  async run({ name, text }: Statement, values: unknown[]): Promise<Row[]> {
    return await this.use(async client => {
      const { rows } = await client.query({ text, values, rowMode: 'array', name: this.#prepares ? name : undefined })
      return rows
    })
  }

  /**
   * Has a connection for as long as the work takes.
   *
   * @param limit of time for the work; default that of a statement
   */
  async use<T>(work: (client: PostgresClient) => Promise<T>, limit: TimeLimit = this.#limit): Promise<T> {
    const client = await this.take()
    const began = performance.now()
    try {
      const result = await limit.within(work(client))
      this.#answered.set(client, performance.now())
      this.giveBack(client)
      return result
    } catch (error) {
      const answered = sqlState(error) !== undefined
      if (!answered) this.suspect(began)
      this.giveBack(client, !answered)
      throw error
    }
  }

  /** Takes a connection out of the pool. */
  async take(): Promise<PostgresClient> {
    for (;;) {
      const client = await this.#connect()
      client.on('error', ignore)
      if ((this.#answered.get(client) ?? Number.POSITIVE_INFINITY) >= this.#suspectBefore) return client
      this.giveBack(client, true)
    }
  }

  giveBack(client: PostgresClient, destroy = false): void {
    client.release(destroy)
    // One that is being closed may still tell of an error.
    if (!destroy) client.off('error', ignore)
  }

  /** A connection was found dead: those that have not answered since may be as dead, without knowing. */
  suspect(since: number): void {
    this.#suspectBefore = Math.max(this.#suspectBefore, since)
  }

  async #connect(): Promise<PostgresClient> {
    const connecting = this.#pool.connect()
    try {
      return await this.#limit.within(connecting)
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

/** Classes of errors that one row of many can be the cause of: its data, a constraint, a lock, its size. */
const OF_ONE_ROW = ['21', '22', '23', '40', '54', '55', 'P0']

/** Whether the same statement with fewer rows may succeed. */
export function isOfOneRow(error: unknown): boolean {
  const state = sqlState(error)
  return state !== undefined && OF_ONE_ROW.includes(state.slice(0, 2))
}
