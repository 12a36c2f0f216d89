/** PostgreSQL with few connections: those who want one wait for it, and executions want few. */
import { fileURLToPath } from 'node:url'
import { Client } from 'pg'
import { describe, expect } from 'vitest'
import { storeFromUrl } from 'waybill/from-url'
import { processLauncher } from 'waybill/launchers/process'
import type { Hint, Store } from '../../../src/stores/store.ts'
import { temporaryFolder } from '../../support/app.ts'
import { play, plays } from '../../support/handlers.ts'
import { atLength } from '../../support/length.ts'
import { PostgresServer, testDatabase } from '../../support/postgres.ts'
import { recordOf, resultOf, submit, type TestContext, test, until } from '../../support/waybill.ts'

const ID = '01920000-0000-7000-8000-000000000000'
const type = plays()

describe('where the server has no connection left', () => {
  const database = testDatabase()
  let users = 0

  /** A user with this many connections, who may do all else. */
  async function userWith(limit: number): Promise<{ url: string; name: string }> {
    const name = `few_${process.pid}_${++users}`
    await database.pool().query(`CREATE ROLE ${name} LOGIN PASSWORD 'few' CONNECTION LIMIT ${limit}`)
    const url = new URL(database.url)
    await database.pool().query(`GRANT CREATE ON DATABASE ${url.pathname.slice(1)} TO ${name}`)
    Object.assign(url, { username: name, password: 'few', search: `?schema=${database.nextSchema()}` })
    return { url: url.href, name }
  }

  async function open(lab: TestContext, url: string, forExecution = false): Promise<Store> {
    const store = await storeFromUrl(url, { forExecution })
    lab.onEnd(() => store.close())
    await store.open()
    return store
  }

  async function statementsOf(name: string): Promise<string[]> {
    const { rows } = await database.pool().query('SELECT query FROM pg_stat_activity WHERE usename = $1', [name])
    return rows.map(({ query }: { query: string }) => query)
  }

  /** A connection, as soon as there is one. */
  async function connected(url: string): Promise<Client> {
    const client = new Client({ connectionString: url })
    client.on('error', () => {})
    return await client.connect().then(
      () => client,
      () => connected(url),
    )
  }

  test('an opening waits for a connection, and open stores continue', async ({ lab }) => {
    const { url } = await userWith(2)
    const store = await open(lab, url, true)
    // The store keeps one connection, and gives the other back once it is idle.
    const other = await connected(url)
    let opened = false
    const opening = open(lab, url, true).then(() => {
      opened = true
    })
    expect(await store.read(ID)).toBeUndefined()
    expect(opened).toBe(false)
    await other.end()
    await opening
  })

  test('an execution has at most two connections, keeps one and never listens, and its hints are received', async ({
    lab,
  }) => {
    const { url, name } = await userWith(20)
    const api = await open(lab, url)
    const ofApi = (await statementsOf(name)).length
    const hints: Hint[] = []
    lab.onEnd(api.watch(hint => hints.push(hint)))
    const execution = await open(lab, url, true)
    await Promise.all(Array.from({ length: 50 }, () => execution.read(ID)))
    expect((await statementsOf(name)).length - ofApi).toBeLessThanOrEqual(2)
    const waybill = lab.composition([type], { store: execution })
    const id = await submit(waybill, type, play({ do: 'return', value: 1 }))
    await until(() => hints.some(hint => hint.kind === 'ready'))
    expect((await recordOf(api, id)).id).toBe(id)
    await until(async () => (await statementsOf(name)).length - ofApi <= 1)
    const listening = (await statementsOf(name)).filter(query => query.startsWith('LISTEN'))
    expect(listening.length).toBeLessThanOrEqual(1)
  })
})

/** The APIs are left fewer connections than they would take. */
const EXECUTIONS = atLength(6, 18)
const CONNECTIONS = atLength(23, 35)

test(`a server of ${CONNECTIONS} connections serves three APIs and ${EXECUTIONS} executions at once, and each completes`, async ({
  lab,
}) => {
  const server = await PostgresServer.start(18, CONNECTIONS)
  lab.onEnd(() => server.remove())
  const entry = fileURLToPath(new URL('../../fixtures/postgres-job.ts', import.meta.url))
  const env = { TEST_STORE: server.url, TEST_MEETING: temporaryFolder(), TEST_EXPECTED: String(EXECUTIONS) }
  const apis = await Promise.all(
    [1, 2, 3].map(async () => {
      const launcher = processLauncher({ entry, niceness: 0, maxProcesses: EXECUTIONS, env })
      const store = await storeFromUrl(server.url)
      return await lab.waybill([type], { store, dispatcher: { launcher, pollInterval: 50, claimTimeout: '10m' } })
    }),
  )
  const { store } = apis[0] ?? expect.fail('There is no API.')
  const ids = await Promise.all(
    Array.from({ length: EXECUTIONS / 3 }, () =>
      apis.map(api => submit(api, type, play({ do: 'return', value: 1 }))),
    ).flat(),
  )
  const results = await Promise.all(ids.map(id => resultOf(store, id)))
  expect(results).toEqual(ids.map(() => 'met'))
  const records = await Promise.all(ids.map(id => recordOf(store, id)))
  expect(records.map(({ lost, history }) => [lost, history.length])).toEqual(ids.map(() => [0, 1]))
})
