/** What stores from URLs and blob stores from URLs share. */
import { entersByIdentity, identityConfig } from './azure-postgres.ts'
import { azureCredential, load } from './load-package.ts'

/** A URL that is not valid here. The user can fix it. */
export class UrlError extends TypeError {}

/**
 * The URL for people and logs: without the password or the signature of a container.
 *
 * @example
 * console.log(redactUrl('postgres://app:secret@db/orders'))
 */
export function redactUrl(url: string): string {
  return url.replace(/(:\/\/[^/:]*):[^/]*@/, '$1:***@').replace(/([?&](?:password|sig)=)[^&]*/gi, '$1***')
}

/** The same for a string that is not a usable URL: it may hold a secret anywhere. */
export function redactUnreadable(url: string): string {
  return /[@?]/.test(url) ? url.replace(/[:?].*/s, ':…') : url
}

/** The size of a pool: the most and the fewest connections, and how long idle ones stay, in milliseconds. */
export interface PoolSize {
  readonly max?: number
  readonly min?: number
  readonly idleTimeoutMillis?: number
}

/** A pool of the package `pg`, and the schema and the roles that the URL names. */
export async function connectPostgres(target: URL, size: PoolSize = {}) {
  const { Pool } = await load<typeof import('pg')>('pg', 'pg')
  const schema = target.searchParams.get('schema')
  const grantTo = target.searchParams.getAll('grantTo')
  for (const own of ['schema', 'grantTo']) target.searchParams.delete(own)
  const credential = entersByIdentity(target) ? await azureCredential('@azure/identity') : undefined
  const config = credential ? identityConfig(target, credential) : { connectionString: target.href }
  const pool = new Pool({ ...config, ...size, application_name: 'waybill', keepAlive: true })
  // Without a listener, an idle connection that is lost would end the process.
  pool.on('error', () => {})
  return { pool, options: schema === null ? {} : { schema }, grantTo, credential }
}

/** Adds to the `close` of something that it also frees what was made for it, once. */
export function withClose<Closed extends { close?(): Promise<void> }>(
  it: Closed,
  free: () => Promise<void>,
): Closed & { close(): Promise<void> } {
  const close = it.close?.bind(it)
  let freed: Promise<void> | undefined
  return Object.assign(it, {
    close: async () => {
      await close?.()
      freed ??= free()
      await freed
    },
  })
}
