/** Two users of one PostgreSQL database: one makes the tables, and both work with them. */
import { Pool } from 'pg'
import { describe, expect } from 'vitest'
import { storeFromUrl } from 'waybill/from-url'
import { runOperation } from 'waybill/job'
import { grantPlan, postgresStore } from 'waybill/stores/postgres'
import { waybill as cli } from '../../support/cli.ts'
import { handlerFile, play, plays } from '../../support/handlers.ts'
import { testDatabase } from '../../support/postgres.ts'
import { recordOf, resultOf, SILENT, submit, test } from '../../support/waybill.ts'

const database = testDatabase()
const type = plays({ attempts: 2 })

interface Roles {
  readonly schema: string
  /** URLs of the store. The first may make schemas, the second may make nothing. */
  readonly owner: string
  readonly user: string
  readonly userName: string
}

/** Two roles with a login each, and no others' rights. */
async function twoRoles(): Promise<Roles> {
  const schema = database.nextSchema()
  const admin = database.pool()
  const [ownerName, userName] = [`${schema}_owner`, `${schema} "user"`]
  for (const role of [ownerName, userName]) {
    await admin.query(`CREATE ROLE "${role.replaceAll('"', '""')}" LOGIN PASSWORD 'secret'`)
  }
  await admin.query(`GRANT CREATE ON DATABASE postgres TO "${ownerName}"`)
  const urlOf = (role: string) => {
    const url = new URL(`${database.url}?schema=${schema}`)
    url.username = encodeURIComponent(role)
    url.password = 'secret'
    return url.href
  }
  return { schema, owner: urlOf(ownerName), user: urlOf(userName), userName }
}

describe('a user who did not create the tables', () => {
  test('can run an order that the owner has accepted', async ({ lab }) => {
    const { owner, user, userName } = await twoRoles()
    const store = await storeFromUrl(`${owner}&grantTo=${encodeURIComponent(userName)}`)
    const api = await lab.waybill([type], { store })
    const id = await submit(api, type, play({ do: 'return', value: 42 }))
    const handlers = handlerFile('plays')
    const job = {
      operations: [type],
      store: await storeFromUrl(user),
      handlers,
      run: 'inline',
      logger: SILENT,
    } as const
    expect(await runOperation({ ...job, operationId: id })).toBe(0)
    expect(await resultOf(store, id)).toBe(42)
    expect((await recordOf(store, id)).status).toBe('completed')
  })

  test('gets an error with the cure, which is sufficient', async () => {
    const { owner, user, userName } = await twoRoles()
    expect((await cli(['migrate', '--store', owner])).code).toBe(0)
    const refused = await storeFromUrl(user)
    await expect(refused.open()).rejects.toThrow(/may not use the tables.*"waybill migrate --grant-to ROLE"/s)
    await refused.close()
    const { out } = await cli(['migrate', '--grant-to', userName, '--store', owner])
    expect(out).toContain(`These roles can use its tables: ${userName}.`)
    const granted = await storeFromUrl(user)
    await granted.open()
    expect(await granted.sweep(10)).toEqual({ expired: [], purged: [] })
    await granted.close()
    expect((await cli(['ls', '--store', user])).out).toMatch(/^ID /)
  })

  test('can work with tables that the owner creates later', async () => {
    const { schema, owner, user, userName } = await twoRoles()
    expect((await cli(['migrate', '--grant-to', userName, '--store', owner])).code).toBe(0)
    const pool = new Pool({ connectionString: owner.replace(/\?.*/, '') })
    await pool.query(`CREATE TABLE ${schema}.later (id bigint GENERATED ALWAYS AS IDENTITY, note text)`)
    await pool.end()
    const users = new Pool({ connectionString: user.replace(/\?.*/, '') })
    await users.query(`INSERT INTO ${schema}.later (note) VALUES ('one')`)
    await users.end()
  })
})

describe('grants', () => {
  test('are printed completely by --plan', async () => {
    const { schema, owner, user, userName } = await twoRoles()
    const { out } = await cli(['migrate', '--plan', '--grant-to', userName, '--store', owner])
    expect(out).toContain(grantPlan(schema, [userName]))
    const pool = new Pool({ connectionString: owner.replace(/\?.*/, '') })
    await pool.query(out)
    await pool.end()
    const store = await storeFromUrl(user)
    await store.open()
    await store.close()
  })

  test('can be made by several processes at once, and are not repeated if none is missing', async () => {
    const { owner, user, userName } = await twoRoles()
    const stores = await Promise.all([1, 2, 3].map(() => storeFromUrl(owner, { grantTo: [userName] })))
    await Promise.all(stores.map(store => store.open()))
    await Promise.all(stores.map(store => store.close()))
    // A user who may grant nothing is asked for nothing.
    const own = await storeFromUrl(user, { grantTo: [userName] })
    await own.open()
    await own.close()
  })

  test('to a missing role, or by a user without permission, fail with the cure', async () => {
    const { owner, user, userName } = await twoRoles()
    const missing = await cli(['migrate', '--grant-to', 'nobody-here', '--store', owner])
    expect([missing.code, missing.err]).toEqual([1, expect.stringContaining('There is no role "nobody-here"')])
    expect((await cli(['migrate', '--grant-to', userName, '--store', owner])).code).toBe(0)
    const { userName: other } = await twoRoles()
    const { code, err } = await cli(['migrate', '--grant-to', other, '--store', user])
    expect([code, err]).toEqual([1, expect.stringContaining('This user may not grant the tables')])
    expect((await cli(['migrate', '--grant-to', other, '--store', user])).code).toBe(1)
  })

  test.for(['', 'x'.repeat(64), 'a\0b'])('to %j are refused by the name of the option', role => {
    expect(() => postgresStore(database.pool(), { grantTo: [role] })).toThrow(/^grantTo must name roles/)
  })

  test('are only for PostgreSQL', async () => {
    const { code, err } = await cli(['migrate', '--grant-to', 'app', '--store', 'sqlite:x.db'])
    expect([code, err]).toEqual([2, expect.stringContaining('--grant-to is for PostgreSQL')])
  })
})
