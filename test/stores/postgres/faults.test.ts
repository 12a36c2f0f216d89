import { setTimeout as sleep } from 'node:timers/promises'
import { Client, Pool } from 'pg'
import { afterAll, beforeAll, describe, expect } from 'vitest'
import { defineOperation, handler, ProblemError } from 'waybill'
import { type PostgresStoreOptions, postgresStore } from 'waybill/stores/postgres'
import { isFinal } from '../../../src/model/protocol.ts'
import type { Hint, Store } from '../../../src/stores/store.ts'
import type { Waybill } from '../../../src/waybill.ts'
import { atLength } from '../../support/length.ts'
import { PostgresServer } from '../../support/postgres.ts'
import { TcpProxy } from '../../support/tcp-proxy.ts'
import { hasStatus, recordOf, submit, type TestContext, test, when } from '../../support/waybill.ts'

let server: PostgresServer
let schemas = 0

beforeAll(async () => {
  server = await PostgresServer.start()
})

afterAll(() => server.remove())

const parcels = defineOperation({ name: 'parcels' })
const handlers = handler(parcels, async () => 'sent')

function newSchema(): string {
  return `faults_${++schemas}`
}

/** A store on a pool of its own, as another process would have it. */
function newStore(lab: TestContext, options: PostgresStoreOptions, port = server.port): Store {
  // A connection that is being made over a line that has gone silent would hold up the end of the pool forever.
  const connectionString = server.url.replace(/:\d+\//, `:${port}/`)
  const pool = new Pool({ connectionString, max: 10, connectionTimeoutMillis: 5000 })
  pool.on('error', () => {})
  lab.onEnd(() => pool.end())
  return postgresStore(pool, options)
}

describe('two compositions on one database', () => {
  test('wake each other: one accepts operations, the other one runs them', async ({ lab }) => {
    const schema = newSchema()
    // No scan, sweep or poll comes in between, and the waiters' own re-read only after five seconds.
    const options = { schema, pollInterval: 3_600_000 }
    const api = await lab.waybill([parcels], { store: newStore(lab, options), sweepInterval: '1h' })
    const worker = { handlers, pollInterval: '1h' } as const
    await lab.waybill([parcels], { store: newStore(lab, options), worker, sweepInterval: '1h' })
    const rounds: number[] = []
    for (let round = 0; round < 5; round++) {
      const began = performance.now()
      await completed(api)
      rounds.push(performance.now() - began)
    }
    // Without wake-ups every round would take these five seconds; one quick round shows that there are some.
    expect(Math.min(...rounds)).toBeLessThan(4000)
  })

  test('stop a handler whose operation was canceled at the other', async ({ lab }) => {
    const schema = newSchema()
    const options = { schema, pollInterval: 3_600_000 }
    const waiting = handler(parcels, (_, job) => {
      return new Promise((_, reject) => job.signal.addEventListener('abort', () => reject(job.signal.reason)))
    })
    const api = await lab.waybill([parcels], { store: newStore(lab, options), sweepInterval: '1h' })
    const worker = { handlers: waiting, pollInterval: '1h', leaseDuration: '1h' } as const
    await lab.waybill([parcels], { store: newStore(lab, options), worker, sweepInterval: '1h' })
    const id = await submit(api, parcels)
    await hasStatus(api.store, id, 'running')
    await api.operations.cancel(id, '')
    await hasStatus(api.store, id, 'canceled')
  })
})

describe('a connection that goes silent', () => {
  test('is noticed by the listener, which continues on another connection', async ({ lab }) => {
    const proxy = await TcpProxy.start(server.port)
    lab.onEnd(() => proxy.stop())
    const schema = newSchema()
    const options = { schema, pollInterval: 3_600_000 }
    const listening = newStore(lab, { ...options, checkInterval: 200, timeout: 1000 }, proxy.port)
    const telling = newStore(lab, options)
    for (const store of [listening, telling]) {
      await store.open()
      lab.onEnd(() => store.close())
    }
    const hints: Hint[] = []
    listening.watch(hint => hints.push(hint))
    proxy.freeze()
    // It may have missed something, so it says that anything may have changed.
    await expect.poll(() => hints, { timeout: 240_000 }).toContainEqual({ kind: 'unknown' })
    hints.length = 0
    const api = await lab.waybill([parcels], { store: telling })
    await submit(api, parcels)
    await expect.poll(() => hints, { timeout: 240_000 }).toContainEqual({ kind: 'ready', type: 'parcels' })
  })

  test('delays no operation for long, whatever it was used for', async ({ lab }) => {
    const proxy = await TcpProxy.start(server.port)
    lab.onEnd(() => proxy.stop())
    const schema = newSchema()
    const options = { schema, checkInterval: 200, timeout: 1000 }
    const worker = { handlers, leaseDuration: '4s' } as const
    const waybill = await lab.waybill([parcels], { store: newStore(lab, options, proxy.port), worker })
    const outside = newStore(lab, options)
    await outside.open()
    lab.onEnd(() => outside.close())
    for (let round = 0; round < atLength(1, 3); round++) {
      const load = submitAll(waybill, 40)
      await sleep(100)
      proxy.freeze()
      for (const id of await load) await hasStatus(outside, id, 'completed')
    }
  })
})

describe('a record that another session has locked', () => {
  test('causes no other attempt to lose its lease', async ({ lab }) => {
    const schema = newSchema()
    const open = Promise.withResolvers<void>()
    let stopped = 0
    const holding = handler(parcels, async (_, job) => {
      job.signal.addEventListener('abort', () => stopped++)
      await open.promise
    })
    const store = newStore(lab, { schema })
    const worker = { handlers: holding, leaseDuration: '9s', concurrency: 30 } as const
    const waybill = await lab.waybill([parcels], { store, worker })
    const ids = await Promise.all(Array.from({ length: 30 }, () => submit(waybill, parcels)))
    for (const id of ids) await hasStatus(store, id, 'running')
    const stranger = new Client({ connectionString: server.url })
    await stranger.connect()
    lab.onEnd(() => stranger.end())
    await stranger.query('BEGIN')
    await stranger.query(`SELECT 1 FROM ${schema}.operations WHERE id = $1 FOR UPDATE`, [ids[0]])
    const others = await Promise.all(ids.slice(1).map(id => recordOf(store, id)))
    for (const { id, leaseUntil } of others) {
      await when(store, id, operation => (operation.leaseUntil ?? 0) > (leaseUntil ?? 0))
    }
    await stranger.query('ROLLBACK')
    open.resolve()
    for (const id of ids) expect((await hasStatus(store, id, 'completed')).attempt).toBe(1)
    expect(stopped).toBe(0)
  })
})

describe('a server that is stopped and started', () => {
  const COUNT = atLength(1500, 5000)

  test('loses nothing: all operations end without a restart of anything else', async ({ lab }) => {
    const schema = newSchema()
    const options = { schema, timeout: 2000 }
    const api = await lab.waybill([parcels], { store: newStore(lab, options) })
    const worker = { handlers, leaseDuration: '4s' } as const
    const working = await lab.waybill([parcels], { store: newStore(lab, options), worker })
    const load = submitAll(api, COUNT)
    for (let round = 0; round < atLength(2, 3); round++) {
      await sleep(200)
      await server.stop()
      await sleep(300)
      await server.start()
    }
    const ids = await load
    expect(new Set(ids).size).toBe(COUNT)
    for (const id of ids) await hasStatus(api.store, id, 'completed')
    expect(api.stalled()).toEqual([])
    expect(working.stalled()).toEqual([])
  })
})

/** Submits one after the other, each until it is taken, under a key of its own: as a client would that has had no answer. */
async function submitAll(waybill: Waybill, count: number): Promise<string[]> {
  const ids: string[] = []
  const one = async (index: number) => {
    for (;;) {
      try {
        const { operation } = await waybill.operations.submit(parcels, {
          input: null,
          idempotencyKey: `key-${count}-${index}`,
        })
        return void ids.push(operation.id)
      } catch (error) {
        if (!(error instanceof ProblemError) || error.problem.code !== 'unavailable') throw error
        await sleep(50)
      }
    }
  }
  for (let index = 0; index < count; index += 50) {
    await Promise.all(Array.from({ length: 50 }, (_, offset) => one(index + offset)))
    await sleep(20)
  }
  return ids
}

async function completed(waybill: Waybill): Promise<void> {
  const { operation } = await waybill.operations.submit(parcels, { input: null })
  const done = await waybill.operations.wait(operation, it => isFinal(it.status), {
    ms: 10_000,
    signal: AbortSignal.timeout(10_000),
  })
  expect(done.operation.status).toBe('completed')
}
