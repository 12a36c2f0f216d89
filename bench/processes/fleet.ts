/**
 * A part of a fleet: some of its APIs or of its workers. They share a process to save memory, and nothing else: each has
 * its own store with its own connections, and so looks to PostgreSQL like a process.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Pool } from 'pg'
import { defineOperation, handler, ProblemError } from 'waybill'
import { createWaybill, type Waybill } from 'waybill/server'
import { postgresStore } from 'waybill/stores/postgres'
import { argument, serve } from './bench-process.ts'

/** What to be. */
export interface FleetInit {
  readonly url: string
  readonly role: 'api' | 'worker'
  readonly count: number
}

/**
 * `submit`: at a fixed rate, or as fast as it goes. `wait`: the same, and each waits for the end of its operation.
 * `ran`: what the handlers of this process have done since the last time.
 */
export type FleetQuestion = Submit | { readonly ask: 'pause' | 'resume' | 'ran' }

interface Submit {
  readonly ask: 'submit' | 'wait'
  readonly count: number
  readonly perSecond?: number
}

/** How late handlers began, or ends were noticed, in milliseconds after the submit was due. */
export type FleetAnswer = readonly number[]

/** How many are submitted at once where there is no rate. */
const AT_ONCE = 64
/** The connections of one member, which is idle for most of the time. */
const CONNECTIONS = 4
/** What logs nothing. */
const SILENT = { info: () => {}, warn: () => {}, error: () => {} }
const OPERATOR = { name: 'benchmark' }
const { signal } = new AbortController()

const orders = defineOperation({ name: 'orders', timeout: '1m' })
const init = argument<FleetInit>()
const ran: number[] = []
const members = await Promise.all(Array.from({ length: init.count }, start))

process.on('disconnect', () => void Promise.all(members.map(it => it.stop())).finally(() => process.exit(0)))
serve<FleetQuestion, FleetAnswer>([], async question => {
  if (question.ask === 'ran') return ran.splice(0)
  const [first] = members
  if (question.ask === 'submit' || question.ask === 'wait') return await submitAll(question)
  if (question.ask === 'pause') await first?.operator.pause(orders.name, OPERATOR)
  if (question.ask === 'resume') await first?.operator.resume(orders.name, OPERATOR)
  return []
})
/** Keeps the process alive: that of workers has no handle of its own. */
void sleep(2 ** 31 - 1)

async function start(): Promise<Waybill> {
  const pool = new Pool({ connectionString: init.url, max: CONNECTIONS })
  pool.on('error', () => {})
  const handlers = handler(orders, input => {
    ran.push(now() - (input as { at: number }).at)
    return input
  })
  const worker = { handlers, run: 'inline', concurrency: 16 } as const
  const options = { operations: [orders], store: postgresStore(pool), logger: SILENT }
  const member = createWaybill(init.role === 'worker' ? { ...options, worker } : options)
  await member.start()
  return member
}

async function submitAll({ ask, count, perSecond }: Submit): Promise<FleetAnswer> {
  const late: number[] = []
  const submitOne = async (at: number) => {
    const { operations } = members[at % members.length] as Waybill
    const began = now()
    const { operation } = await submitted(() => operations.submit(orders, { input: { at: began } }))
    if (ask === 'wait') await operations.wait(operation, ({ status }) => status === 'completed', { ms: 30_000, signal })
    late[at] = now() - began
  }
  if (perSecond === undefined) await inLanes(count, submitOne)
  else await atRate(count, perSecond, submitOne)
  return late
}

/** As clients do: on a busy machine the store may answer too late. */
async function submitted<T>(submit: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await submit()
    } catch (error) {
      if (!(error instanceof ProblemError) || error.problem.status !== 503) throw error
      await sleep(100)
    }
  }
}

async function inLanes(count: number, submitOne: (at: number) => Promise<void>): Promise<void> {
  let next = 0
  const lane = async () => {
    while (next < count) await submitOne(next++)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, lane))
}

async function atRate(count: number, perSecond: number, submitOne: (at: number) => Promise<void>): Promise<void> {
  const began = performance.now()
  const all = Array.from({ length: count }, async (_, at) => {
    await sleep(Math.max(0, began + (at * 1000) / perSecond - performance.now()))
    await submitOne(at)
  })
  await Promise.all(all)
}

/** Milliseconds since the epoch, with fractions. */
function now(): number {
  return performance.timeOrigin + performance.now()
}
