/** Which processes of a fleet listen: all while notifications are rare, and a few while they are frequent. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Client, type ClientBase, Pool } from 'pg'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { defineOperation, handler } from 'waybill'
import { createWaybill } from 'waybill/server'
import { channelOf } from '../../../src/stores/postgres/names.ts'
import { postgresStore } from '../../../src/stores/postgres/postgres.ts'
import { quoteSchema } from '../../../src/stores/postgres/schema.ts'
import { SEATS } from '../../../src/stores/postgres/seats.ts'
import { statementsFor } from '../../../src/stores/postgres/statements.ts'
import type { Hint, HintNeed, Store } from '../../../src/stores/store.ts'
import { numberedId } from '../../../src/testing/store-conformance/context.ts'
import { onlyLong } from '../../support/length.ts'
import { testDatabase } from '../../support/postgres.ts'
import { submissionOf } from '../../support/submission.ts'
import { until } from '../../support/waybill.ts'

const database = testDatabase()
const PATIENCE = { timeout: 240_000 }
const WORK = { work: 'claims of orders', holder: 'h' }
const MEMBERS = SEATS + 4

let schema = ''
let sender: Store
let noise: Pool
let sent = 0
const ends: (() => Promise<unknown>)[] = []

beforeEach(async () => {
  sent = 0
  schema = database.nextSchema()
  noise = database.pool()
  sender = postgresStore(database.pool(), { schema })
  await sender.open()
  ends.push(() => sender.close())
})
afterEach(async () => {
  await Promise.all(ends.splice(0).map(end => end()))
})

/** A process: the hints it has received, and whether it listens. */
class Member {
  readonly hints: Hint[] = []
  readonly #listening = new Set<ClientBase>()
  claims = 0
  readonly pool: Pool
  readonly store: Store

  constructor() {
    const { claim } = statementsFor(quoteSchema(schema))
    const sees = (client: ClientBase, text: string) => {
      if (text.startsWith('LISTEN')) this.#listening.add(client)
      if (text.startsWith('UNLISTEN')) this.#listening.delete(client)
      if (text === claim.text) this.claims++
    }
    class Watched extends Client {
      override query(...args: unknown[]): never {
        sees(this, (args[0] as { text?: string }).text ?? '')
        return super.query(...(args as [never])) as never
      }
    }
    this.pool = new Pool({ connectionString: database.url, max: 4, Client: Watched })
    this.pool.on('error', () => {})
    this.pool.on('connect', client => client.on('end', () => this.#listening.delete(client)))
    this.store = postgresStore(this.pool, { schema })
  }

  get isListening(): boolean {
    return this.#listening.size > 0
  }

  /** Its session that listens ends as when the process is killed. */
  cut(): void {
    for (const client of this.#listening) {
      ;(client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy()
    }
  }

  async end(): Promise<void> {
    await this.store.close()
    await this.pool.end()
  }
}

async function start(count: number, ...needs: HintNeed[]): Promise<Member[]> {
  const members = Array.from({ length: count }, () => new Member())
  for (const member of members) {
    await member.store.open()
    for (const need of needs) member.store.watch(hint => void member.hints.push(hint), need)
    ends.push(() => member.end())
  }
  return members
}

const listening = (members: readonly Member[]) => members.filter(({ isListening }) => isListening)

/** Notifies often, as other processes would, and submits now and then, until something is so. */
async function sendUntil(isSo: () => boolean): Promise<void> {
  const others = `SELECT pg_notify($1, json_build_object('from', 'process ' || n)::text) FROM generate_series(1, 10) AS n`
  while (!isSo()) {
    await noise.query(others, [channelOf(schema)])
    await sender.accept(submissionOf(numberedId(++sent), { type: 'orders' }))
    await sleep(20)
  }
}

/** As many listen, and not only for a moment. */
async function untilListening(members: readonly Member[], count: number): Promise<void> {
  let since = performance.now()
  await sendUntil(() => {
    if (listening(members).length !== count) since = performance.now()
    return performance.now() - since > 600
  })
}

describe('processes that look for the same work', () => {
  it('listen if they have a seat while notifications are frequent, and all of them again when they are rare', async () => {
    const members = await start(MEMBERS, WORK)
    expect(listening(members)).toHaveLength(MEMBERS)
    await untilListening(members, SEATS)
    for (const member of members) member.hints.length = 0
    await sender.accept(submissionOf(numberedId(++sent), { type: 'orders' }))
    for (const { hints } of listening(members)) {
      await expect.poll(() => hints, PATIENCE).toContainEqual({ kind: 'ready', type: 'orders' })
    }
    // The others look by themselves.
    for (const { hints } of members.filter(({ isListening }) => !isListening)) {
      await expect.poll(() => hints, PATIENCE).toContainEqual({ kind: 'unknown' })
    }
    await expect.poll(() => listening(members).length, PATIENCE).toBe(MEMBERS)
  })

  onlyLong(it)('listen beside processes that look for other work', async () => {
    const [some, others] = [await start(MEMBERS, WORK), await start(1, { work: 'claims of refunds' })]
    await untilListening(some, SEATS)
    expect(listening(others)).toHaveLength(1)
  })

  it('take the seat of one that has ended, or whose session was cut', async () => {
    const members = await start(MEMBERS, WORK)
    await untilListening(members, SEATS)
    const [ended, cut] = listening(members)
    cut?.cut()
    await ended?.store.close()
    const left = members.filter(member => member !== ended)
    await untilListening(left, SEATS)
    for (const { hints } of listening(left)) hints.length = 0
    await sender.accept(submissionOf(numberedId(++sent), { type: 'orders' }))
    for (const { hints } of listening(left)) {
      await expect.poll(() => hints, PATIENCE).toContainEqual({ kind: 'ready', type: 'orders' })
    }
  })

  it('leave their seats to others while they can do no more', async () => {
    const members = await start(MEMBERS, WORK)
    await untilListening(members, SEATS)
    const full = listening(members)
    const from = { types: [{ type: 'orders', limit: 1 }], limit: 1 }
    for (const { store } of full) {
      expect(await store.claim({ holder: 'h', leaseMs: 60_000, execution: null, from })).toHaveLength(1)
    }
    await sendUntil(() => !full.some(({ isListening }) => isListening))
    await untilListening(members, SEATS)
  })

  onlyLong(it)('keep their seats while what else they do is full, or was full before it was stopped', async () => {
    const members = await start(MEMBERS)
    const watch = ({ store, hints }: Member, holder: string) =>
      store.watch(hint => void hints.push(hint), { work: WORK.work, holder })
    const unwatch = members.map(member => watch(member, 'before'))
    await untilListening(members, SEATS)
    const seated = listening(members)
    const from = { types: [{ type: 'orders', limit: 1 }], limit: 1 }
    for (const [at, member] of members.entries()) {
      if (!member.isListening) continue
      for (const holder of ['before', 'webhooks']) {
        expect(await member.store.claim({ holder, leaseMs: 60_000, execution: null, from })).toHaveLength(1)
      }
      watch(member, 'after')
      unwatch[at]?.()
    }
    await sendUntil(() => sent % 100 === 0)
    await sendUntil(() => sent % 100 === 50)
    expect(listening(members)).toEqual(seated)
  })

  onlyLong(it)('listen as long as there are seats, even if they can do no more', async () => {
    const members = await start(SEATS, WORK)
    await sendUntil(() => sent % 100 === 0)
    const from = { types: [{ type: 'orders', limit: 1 }], limit: 1 }
    for (const { store } of members) await store.claim({ holder: 'h', leaseMs: 60_000, execution: null, from })
    await sendUntil(() => sent % 100 === 50)
    expect(listening(members)).toHaveLength(SEATS)
  })
})

describe('processes with requests that wait', () => {
  it('read often what they wait for if they have no seat', async () => {
    const members = await start(MEMBERS, 'soon')
    await untilListening(members, SEATS)
    const others = members.filter(({ isListening }) => !isListening)
    for (const { hints } of others) hints.length = 0
    await sendUntil(() => others.every(({ hints }) => hints.length > 3))
  })

  it('do not listen while none waits, and listen as soon as one does', async () => {
    const members = await start(1, 'rarely')
    await sendUntil(() => listening(members).length === 0)
    for (const { store, hints } of members) {
      const unwatch = store.watch(hint => void hints.push(hint))
      await sendUntil(() => hints.some(({ kind }) => kind === 'ready'))
      unwatch()
    }
    // The next one is expected soon.
    await untilListening(members, 1)
  })
})

onlyLong(it)('an operation costs a few claims, however many workers wait for it', async () => {
  const orders = defineOperation({ name: 'orders' })
  const [workers, count] = [20, 100]
  let ran = 0
  const members = Array.from({ length: workers }, () => new Member())
  for (const { store, pool } of members) {
    const handlers = handler(orders, () => void ran++)
    const waybill = createWaybill({ operations: [orders], store, worker: { run: 'inline', handlers } })
    await waybill.start()
    ends.push(async () => {
      await waybill.stop()
      await pool.end()
    })
  }
  await untilListening(members, SEATS)
  await until(() => ran === sent)
  const claims = () => members.reduce((sum, member) => sum + member.claims, 0)
  const [before, ranBefore, began] = [claims(), ran, performance.now()]
  await sendUntil(() => ran - ranBefore >= count)
  const polls = 1.3 * workers * ((performance.now() - began) / 1000)
  expect(claims() - before - polls).toBeLessThan(SEATS * (ran - ranBefore))
})
