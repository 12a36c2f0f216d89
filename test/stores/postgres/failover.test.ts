/** The address of the database leads to a standby for a while, or to a primary that takes no writes. */
import { Pool } from 'pg'
import { v7 as uuidv7 } from 'uuid'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { postgresStore } from 'waybill/stores/postgres'
import type { Submission } from '../../../src/model/submission.ts'
import { acceptedOperation, type Store } from '../../../src/stores/store.ts'
import { PostgresServer } from '../../support/postgres.ts'
import { submissionOf } from '../../support/submission.ts'
import { TcpProxy } from '../../support/tcp-proxy.ts'
import { until } from '../../support/waybill.ts'

let primary: PostgresServer
let standby: PostgresServer
let proxy: TcpProxy
let admin: Pool
let schemas = 0

beforeAll(async () => {
  primary = await PostgresServer.start()
  standby = await primary.standby()
  proxy = await TcpProxy.start(primary.port)
  admin = new Pool({ connectionString: primary.url, max: 1 })
  admin.on('error', () => {})
})

afterAll(async () => {
  await admin.end()
  await proxy.stop()
  await standby.remove()
  await primary.remove()
})

const opened: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close()
})

function newSubmission(): Submission {
  return submissionOf(uuidv7())
}

/** A store whose connections go through the proxy. */
async function open(notifications: boolean): Promise<Store> {
  const pool = new Pool({ connectionString: primary.url.replace(/:\d+\//, `:${proxy.port}/`), max: 10 })
  pool.on('error', () => {})
  opened.push(() => pool.end())
  const store = postgresStore(pool, { schema: `failover_${++schemas}`, notifications, checkInterval: 100 })
  await store.open()
  opened.push(() => store.close())
  return store
}

/** How many of 40 concurrent writes and as many reads fail. */
async function failures(store: Store): Promise<number> {
  const calls = Array.from({ length: 40 }, async () => {
    const operation = acceptedOperation(await store.accept(newSubmission()))
    await store.read(operation.id)
  })
  const settled = await Promise.allSettled(calls)
  return settled.filter(({ status }) => status === 'rejected').length
}

async function succeeds(call: Promise<unknown>): Promise<boolean> {
  return await call.then(
    () => true,
    () => false,
  )
}

/** Resolves when the standby has everything that the primary has. */
async function caughtUp(): Promise<void> {
  await until(async () => {
    const { rows } = await admin.query('SELECT count(*)::int FROM pg_stat_replication WHERE replay_lsn = sent_lsn')
    return rows[0].count === 1
  })
}

describe.each([true, false])('a switch to a standby and back, with notifications %s', notifications => {
  it('fails no call once the address leads to the primary again, and reads no old data', async () => {
    const store = await open(notifications)
    expect(await failures(store)).toBe(0)
    const operation = acceptedOperation(await store.accept(newSubmission()))
    await caughtUp()

    proxy.route(standby.port)
    proxy.cut()
    for (let round = 0; round < 3; round++) expect(await failures(store)).toBe(40)
    expect(await succeeds(store.read(operation.id))).toBe(false)
    await expect(store.check?.()).rejects.toThrow('standby')

    // The connections to the standby stay open, as a load balancer leaves them.
    proxy.route(primary.port)
    for (let round = 0; round < 5; round++) expect(await failures(store)).toBe(0)
    expect(await succeeds(store.check?.() ?? Promise.reject())).toBe(true)
  })
})

describe('a primary that is set to read only', () => {
  it('serves reads, is reported as not ready, and accepts writes again afterwards', async () => {
    const store = await open(true)
    const operation = acceptedOperation(await store.accept(newSubmission()))
    await setReadOnly('on')
    await expect.poll(() => succeeds(store.accept(newSubmission())), { timeout: 240_000 }).toBe(false)
    expect(await store.read(operation.id)).toMatchObject({ id: operation.id })
    await expect(store.check?.()).rejects.toThrow('read-only')
    await setReadOnly('off')
    await expect.poll(() => succeeds(store.accept(newSubmission())), { timeout: 240_000 }).toBe(true)
    await expect.poll(() => failures(store), { timeout: 240_000 }).toBe(0)
  })
})

async function setReadOnly(value: 'on' | 'off'): Promise<void> {
  await admin.query('SET default_transaction_read_only = off')
  await admin.query(`ALTER SYSTEM SET default_transaction_read_only = ${value}`)
  await admin.query('SELECT pg_reload_conf()')
}
