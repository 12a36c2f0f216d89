/** Operations that sleep: what many of them cost while they do, and how soon after its time each goes on. */
import { setTimeout as sleep } from 'node:timers/promises'
import { defineOperation, handler } from 'waybill'
import type { Store } from 'waybill/adapters'
import type { Waybill } from 'waybill/server'
import { postgresStore } from 'waybill/stores/postgres'
import { sqliteStore } from 'waybill/stores/sqlite'
import { countTimers } from '../../test/support/live-timers.ts'
import type { Bench } from '../bench.ts'
import { freshPostgres } from '../fresh-postgres.ts'
import type { Ratio, Sample, Scenario } from '../scenario.ts'
import { startWaybill } from '../start-waybill.ts'

const [COUNT, QUICK_COUNT] = [10_000, 300]
/** How many of them wake in each second. */
const PER_SECOND = 500
/** How many are accepted, and come to their sleep, in a second at least. */
const BEGUN_PER_SECOND = 250
const CONCURRENCY = 64
const WATCHED_MS = 5000
const A_SECOND = 'a second: ms'

const naps = defineOperation({ name: 'naps', timeout: '1h' })
const quick = defineOperation({ name: 'quick' })

/** What the handlers have noted: how late each went on, in milliseconds, and how many have begun. */
interface Notes {
  begun: number
  readonly late: number[]
}

export const sleeping: Scenario = {
  name: 'sleeping',
  about: '10,000 operations that sleep, of which 500 wake in each second, in SQLite and PostgreSQL',
  ratios: ['SQLite', 'PostgreSQL'].map(
    (store): Ratio => ({ name: `${store}: p99 late / a second`, of: `${store}: p99 late: ms`, to: A_SECOND }),
  ),
  prepare: async bench => {
    const notes = { SQLite: makeNotes(), PostgreSQL: makeNotes() }
    const sqlite = await start(bench, sqliteStore({ path: bench.file('naps.db') }), notes.SQLite)
    const postgres = await start(bench, postgresStore(await freshPostgres(bench)), notes.PostgreSQL)
    return async () => ({
      [A_SECOND]: 1000,
      ...(await measure('SQLite', sqlite, notes.SQLite, bench.quick)),
      ...(await measure('PostgreSQL', postgres, notes.PostgreSQL, bench.quick)),
    })
  },
}

function makeNotes(): Notes {
  return { begun: 0, late: [] }
}

async function start(bench: Bench, store: Store, notes: Notes): Promise<Waybill> {
  const handlers = [
    handler(naps, async (input, job) => {
      const { until } = input as { until: number }
      if (job.attempt === 1) notes.begun++
      await job.sleep('nap', new Date(until))
      notes.late.push(Date.now() - until)
    }),
    handler(quick, () => 'done'),
  ]
  const worker = { handlers, concurrency: CONCURRENCY }
  return await startWaybill(bench, { operations: [naps, quick], store, worker })
}

async function measure(name: string, waybill: Waybill, notes: Notes, isQuick: boolean): Promise<Sample> {
  const count = isQuick ? QUICK_COUNT : COUNT
  notes.begun = notes.late.length = 0
  const timers = countTimers()
  const before = await cpuPerSecond()
  const first = Date.now() + 10_000 + (1000 * count) / BEGUN_PER_SECOND
  await submitAll(waybill, count, first)
  await until(() => notes.begun === count)
  const asleep = await cpuPerSecond()
  const timersAsleep = timers.live()
  timers.stop()
  const began = performance.now()
  await runOne(waybill)
  const oneMs = performance.now() - began
  if (Date.now() > first) throw new Error(`The first of ${count} operations woke before the last one slept.`)
  await until(() => notes.late.length === count)
  const late = notes.late.toSorted((a, b) => a - b)
  return {
    [`${name}: CPU without any: ms/s`]: before,
    [`${name}: CPU asleep: ms/s`]: asleep,
    [`${name}: timers while asleep`]: timersAsleep,
    [`${name}: another operation meanwhile: ms`]: oneMs,
    [`${name}: p50 late: ms`]: late[Math.floor(count * 0.5)] ?? 0,
    [`${name}: p99 late: ms`]: late[Math.floor(count * 0.99)] ?? 0,
    [`${name}: most late: ms`]: late.at(-1) ?? 0,
    [`${name}: within a second: %`]: (100 * late.filter(ms => ms <= 1000).length) / count,
  }
}

async function submitAll({ operations }: Waybill, count: number, first: number): Promise<void> {
  const wakeAt = (index: number) => first + Math.floor((index * 1000) / PER_SECOND)
  for (let index = 0; index < count; index += 100) {
    const some = Array.from({ length: Math.min(100, count - index) }, (_, at) => wakeAt(index + at))
    await Promise.all(some.map(time => operations.submit(naps, { input: { until: time } })))
  }
}

async function runOne({ operations }: Waybill): Promise<void> {
  const { operation } = await operations.submit(quick, { input: null })
  const { signal } = new AbortController()
  const ended = await operations.wait(operation, ({ status }) => status === 'completed', { ms: 30_000, signal })
  if (ended.operation.status !== 'completed') throw new Error('An operation beside those that sleep did not run.')
}

async function until(isThere: () => boolean): Promise<void> {
  while (!isThere()) await sleep(50)
}

/** CPU time of this process, in milliseconds for each second. */
async function cpuPerSecond(): Promise<number> {
  const [cpu, began] = [process.cpuUsage(), performance.now()]
  await sleep(WATCHED_MS)
  const { user, system } = process.cpuUsage(cpu)
  return (user + system) / (performance.now() - began)
}
