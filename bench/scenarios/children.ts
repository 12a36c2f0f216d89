/** A parent of many children beside as many plain operations: what a child costs, how often the parent runs, and its cancel. */
import { setTimeout as sleep } from 'node:timers/promises'
import { defineOperation, handler } from 'waybill'
import type { Store } from 'waybill/adapters'
import type { Waybill } from 'waybill/server'
import { postgresStore } from 'waybill/stores/postgres'
import { sqliteStore } from 'waybill/stores/sqlite'
import type { Bench } from '../bench.ts'
import { freshPostgres } from '../fresh-postgres.ts'
import type { Ratio, Sample, Scenario } from '../scenario.ts'
import { startWaybill } from '../start-waybill.ts'

const [COUNT, QUICK_COUNT] = [10_000, 500]
/** How many are submitted at once, as the attempt of a parent does. */
const AT_ONCE = 500
const CONCURRENCY = 64
const POLICY = { timeout: '1h', lostAttempts: 0, attempts: 1 } as const

const parents = defineOperation({ name: 'parents', ...POLICY })
const parts = defineOperation({ name: 'parts', ...POLICY })
/** Nothing runs them. */
const waiting = defineOperation({ name: 'waiting', ...POLICY })

/** How often handlers have run. */
interface Notes {
  parents: number
  parts: number
}

export const children: Scenario = {
  name: 'children',
  about: 'a parent that submits 10,000 children and adds up their results, beside as many plain operations',
  ratios: ['SQLite', 'PostgreSQL'].flatMap((store): Ratio[] => [
    { name: `${store}: CPU of a child / of a plain one`, of: ofChild(store, 'CPU µs'), to: ofPlain(store, 'CPU µs') },
    { name: `${store}: time of a child / of a plain one`, of: ofChild(store, 'µs'), to: ofPlain(store, 'µs') },
  ]),
  prepare: async bench => {
    const notes = { SQLite: { parents: 0, parts: 0 }, PostgreSQL: { parents: 0, parts: 0 } }
    const sqlite = await start(bench, sqliteStore({ path: bench.file('children.db') }), notes.SQLite)
    const postgres = await start(bench, postgresStore(await freshPostgres(bench)), notes.PostgreSQL)
    const count = bench.quick ? QUICK_COUNT : COUNT
    return async () => ({
      ...(await measure('SQLite', sqlite, notes.SQLite, count)),
      ...(await measure('PostgreSQL', postgres, notes.PostgreSQL, count)),
    })
  },
}

function ofChild(store: string, unit: string): string {
  return `${store}: a child: ${unit}`
}

function ofPlain(store: string, unit: string): string {
  return `${store}: a plain operation: ${unit}`
}

async function start(bench: Bench, store: Store, notes: Notes): Promise<Waybill> {
  const handlers = [
    handler(parents, async (input, job) => {
      notes.parents++
      const { count, type } = input as { count: number; type: string }
      const of = type === 'parts' ? parts : waiting
      const submitted = await Promise.all(Array.from({ length: count }, (_, index) => job.submit(of, index)))
      return (await job.all(submitted)).reduce<number>((sum, part) => sum + Number(part), 0)
    }),
    handler(parts, input => {
      notes.parts++
      return input
    }),
  ]
  const worker = { handlers, concurrency: CONCURRENCY }
  return await startWaybill(bench, { operations: [parents, parts, waiting], store, worker })
}

async function measure(name: string, waybill: Waybill, notes: Notes, count: number): Promise<Sample> {
  const plain = await measured(async () => {
    notes.parts = 0
    for (let index = 0; index < count; index += AT_ONCE) {
      const some = Array.from({ length: Math.min(AT_ONCE, count - index) }, (_, at) => index + at)
      await Promise.all(some.map(input => waybill.operations.submit(parts, { input })))
    }
    await until(async () => notes.parts === count && waybill.running() === 0)
  })
  notes.parents = 0
  const family = await measured(async () => {
    const { operation } = await waybill.operations.submit(parents, { input: { count, type: 'parts' } })
    await until(async () => (await statusOf(waybill, operation.id)) === 'completed')
  })
  const runs = notes.parents
  const canceled = await cancelMany(waybill, count)
  return {
    [ofPlain(name, 'µs')]: (plain.ms * 1000) / count,
    [ofPlain(name, 'CPU µs')]: plain.cpu / count,
    [ofChild(name, 'µs')]: (family.ms * 1000) / count,
    [ofChild(name, 'CPU µs')]: family.cpu / count,
    [`${name}: runs of the parent`]: runs,
    [`${name}: a cancel reaches all: ms`]: canceled,
  }
}

/** How long it takes until all children of a canceled parent have ended, in milliseconds. */
async function cancelMany(waybill: Waybill, count: number): Promise<number> {
  const { store, operations } = waybill
  const { operation } = await operations.submit(parents, { input: { count, type: 'waiting' } })
  await until(async () => (await store.countChildren(operation.id)).unfinished === count)
  await until(async () => (await statusOf(waybill, operation.id)) === 'pending')
  const began = performance.now()
  await operations.cancel(operation.id, '')
  await until(async () => (await store.countChildren(operation.id)).canceled === count)
  return performance.now() - began
}

async function statusOf({ store }: Waybill, id: string): Promise<string | undefined> {
  return (await store.read(id))?.status
}

async function measured(work: () => Promise<void>): Promise<{ ms: number; cpu: number }> {
  const [cpu, began] = [process.cpuUsage(), performance.now()]
  await work()
  const { user, system } = process.cpuUsage(cpu)
  return { ms: performance.now() - began, cpu: user + system }
}

async function until(isThere: () => Promise<boolean>): Promise<void> {
  while (!(await isThere())) await sleep(20)
}
