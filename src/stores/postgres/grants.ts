/**
 * Grants rights on the tables to other users. Without a grant, PostgreSQL gives them only to the user who creates the
 * tables.
 */
import { BEGIN, type Connections, sqlState } from './connections.ts'
import { quoteName } from './names.ts'
import type { PostgresClient, Row } from './pool.ts'
import { quoteSchema } from './schema.ts'

/** Names in PostgreSQL have 63 bytes; the server cuts longer ones without an error. */
const LONGEST_ROLE = 63
const INSUFFICIENT_PRIVILEGE = '42501'
const UNDEFINED_OBJECT = '42704'

const ON_TABLES = 'SELECT, INSERT, UPDATE, DELETE'
const ON_SEQUENCES = 'USAGE, SELECT'

/**
 * Checks names of roles.
 *
 * @throws {TypeError} when one cannot be a name
 */
export function checkRoles(option: string, roles: readonly string[]): readonly string[] {
  for (const role of roles) {
    const bytes = Buffer.byteLength(role)
    if (bytes >= 1 && bytes <= LONGEST_ROLE && !role.includes('\0')) continue
    throw new TypeError(
      `${option} must name roles of 1 to ${LONGEST_ROLE} bytes and no NUL, not ${JSON.stringify(role)}.`,
    )
  }
  return roles
}

/**
 * The SQL that lets roles use the tables of a schema, including tables of later migrations by the same user. It can be
 * run more than once.
 *
 * @example
 * console.log(grantPlan('waybill', ['jobs']))
 */
export function grantPlan(schema: string, roles: readonly string[]): string {
  const at = quoteSchema(schema)
  return checkRoles('grantTo', roles)
    .map(quoteName)
    .map(role =>
      [
        `GRANT USAGE ON SCHEMA ${at} TO ${role};`,
        `GRANT ${ON_TABLES} ON ALL TABLES IN SCHEMA ${at} TO ${role};`,
        `GRANT ${ON_SEQUENCES} ON ALL SEQUENCES IN SCHEMA ${at} TO ${role};`,
        `ALTER DEFAULT PRIVILEGES IN SCHEMA ${at} GRANT ${ON_TABLES} ON TABLES TO ${role};`,
        `ALTER DEFAULT PRIVILEGES IN SCHEMA ${at} GRANT ${ON_SEQUENCES} ON SEQUENCES TO ${role};`,
        '',
      ].join('\n'),
    )
    .join('')
}

/**
 * Grants the rights that roles lack. If they lack none, nothing is changed, and any user may call it.
 *
 * @throws when a role does not exist, or this user may not grant; the message names the role and the cure
 */
export async function grantTo(connections: Connections, schema: string, roles: readonly string[]): Promise<void> {
  for (const role of roles) await connections.use(client => grantToRole(client, schema, role))
}

async function grantToRole(client: PostgresClient, schema: string, role: string): Promise<void> {
  try {
    if (await hasAll(client, schema, role)) return
    await query(client, BEGIN.text)
    // Two grants on one object at the same time would fail.
    await query(client, 'SELECT pg_advisory_xact_lock(hashtextextended($1, 0))', [`waybill/grants/${schema}`])
    await query(client, grantPlan(schema, [role]))
    // A user who may not grant gets a warning of the server, and no error.
    if (!(await hasAll(client, schema, role))) throw mayNotGrant(schema, role)
    await query(client, 'COMMIT')
  } catch (error) {
    await query(client, 'ROLLBACK').catch(() => {})
    const state = sqlState(error)
    if (state === INSUFFICIENT_PRIVILEGE) throw mayNotGrant(schema, role, error)
    if (state !== UNDEFINED_OBJECT) throw error
    const cure = 'Make the role, or correct grantTo ("--grant-to" of waybill migrate, "grantTo" in a URL).'
    throw new Error(`There is no role "${role}" in PostgreSQL to grant the tables to. ${cure}`, { cause: error })
  }
}

const HAS_ALL = `SELECT has_schema_privilege($1, n.oid, 'USAGE') AND NOT EXISTS (
  SELECT FROM pg_catalog.pg_class c
  WHERE c.relnamespace = n.oid AND c.relkind IN ('r', 'p') AND NOT (
    has_table_privilege($1, c.oid, 'SELECT') AND has_table_privilege($1, c.oid, 'INSERT')
    AND has_table_privilege($1, c.oid, 'UPDATE') AND has_table_privilege($1, c.oid, 'DELETE')))
FROM pg_catalog.pg_namespace n WHERE n.nspname = $2`

async function hasAll(client: PostgresClient, schema: string, role: string): Promise<boolean> {
  const [row] = await query(client, HAS_ALL, [role, schema])
  return row?.[0] === true
}

function mayNotGrant(schema: string, role: string, cause?: unknown): Error {
  return new Error(
    `This user may not grant the tables in the schema "${schema}" to "${role}". Have the user who made them run ` +
      `"waybill migrate --grant-to ${role}".`,
    { cause },
  )
}

/** An error for a user who may not use the tables, or the error as it is. */
export function withGrantCure(error: unknown, schema: string): unknown {
  if (sqlState(error) !== INSUFFICIENT_PRIVILEGE) return error
  return new Error(
    `This user may not use the tables in the schema "${schema}" of the PostgreSQL database. Have the user who made ` +
      'them run "waybill migrate --grant-to ROLE" with the name of this user.',
    { cause: error },
  )
}

async function query(client: PostgresClient, text: string, values: unknown[] = []): Promise<Row[]> {
  return (await client.query({ text, values, rowMode: 'array' })).rows
}
