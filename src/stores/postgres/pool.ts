/**
 * The part of the `pg` package that the store uses, declared here so that Waybill does not depend on a driver. A type
 * test compares it with the real Pool and its clients.
 */

/** A row, its values in the order of the columns. */
export type Row = readonly unknown[]

/** One query; a name makes it a prepared statement of its connection. */
export interface PostgresQuery {
  readonly text: string
  readonly values: unknown[]
  readonly rowMode: 'array'
  readonly name?: string | undefined
}

/** An object that queries can be sent to: a client of the pool, or a client of the caller with an open transaction. */
export interface PostgresQueryable {
  query(query: PostgresQuery): Promise<{ readonly rows: Row[] }>
}

/** A notification that has arrived. */
export interface PostgresNotification {
  readonly channel: string
  readonly payload?: string | undefined
}

/** A connection that was taken out of the pool. */
export interface PostgresClient extends PostgresQueryable {
  /** The server process that the connection reported. Behind a pooler that shares servers it is meaningless. */
  readonly processID?: number | null
  /** The key and the address for a cancel request. Without them none is sent. */
  readonly secretKey?: unknown
  readonly host?: string
  readonly port?: number
  on(event: 'error', listener: (error: Error) => void): unknown
  on(event: 'end', listener: () => void): unknown
  on(event: 'notification', listener: (message: PostgresNotification) => void): unknown
  off(event: 'error', listener: (error: Error) => void): unknown
  off(event: 'end', listener: () => void): unknown
  off(event: 'notification', listener: (message: PostgresNotification) => void): unknown
  /** Gives the connection back; with true it is closed. */
  release(destroy?: boolean): void
}

/** A `Pool` of the `pg` package. */
export interface PostgresPool {
  readonly options?: { readonly max?: number }
  /** How many connections are open and not in use. */
  readonly idleCount?: number
  connect(): Promise<PostgresClient>
  on(event: 'error', listener: (error: Error) => void): unknown
  on(event: 'connect', listener: (client: PostgresClient) => void): unknown
  off(event: 'error', listener: (error: Error) => void): unknown
  off(event: 'connect', listener: (client: PostgresClient) => void): unknown
}

/**
 * The client on which a caller has begun a transaction.
 *
 * @throws {TypeError} for anything else
 */
export function toQueryable(transaction: unknown): PostgresQueryable {
  const client = transaction as Partial<PostgresQueryable> | null | undefined
  if (typeof client?.query === 'function') return client as PostgresQueryable
  throw new TypeError('"transaction" must be a client of the pg package, with your transaction begun on it.')
}
