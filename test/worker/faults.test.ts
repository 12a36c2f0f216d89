/**
 * The fault suite in its short form, on SQLite: processes are killed at random moments under load,
 * and what clients were told is checked against what the store has kept.
 */
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { type App, startApp, temporaryFolder } from '../support/app.ts'
import { atLength, onlyLong } from '../support/length.ts'
import {
  ORDER,
  orderRequest,
  placeOrder,
  readStatus,
  storedOperation,
  storedOperations,
  until,
  untilAtWork,
  untilFinal,
} from '../support/order.ts'
import { childrenOf, untilGone } from '../support/processes.ts'

const DEADLY = new URL('../fixtures/deadly/api.ts', import.meta.url).pathname

function temporaryFile(): string {
  return join(temporaryFolder(), 'orders.db')
}

/** The same resource under the address of a later start. */
function at(app: App, url: string): string {
  return new URL(new URL(url).pathname, app.url).href
}

describe('everything is killed again and again', () => {
  // Each is the start of several processes: `npm run faults` takes five.
  const ROUNDS = Number(process.env.WAYBILL_ROUNDS ?? atLength(1, 2))
  const seed = Number(process.env.WAYBILL_SEED ?? Math.floor(Math.random() * 2 ** 32))

  // An execution costs the start of a process: there are fewer of them.
  const LOADS: [run: string, ordersPerRound: number, roundMs: number][] = [
    ['children', 60, 900],
    ['process', 10, 2500],
  ]
  it.each(atLength(LOADS, [...LOADS, ['inline', 60, 900]]))(
    `WAYBILL_RUN=%s loses nothing and runs nothing twice (seed ${seed})`,
    async (run, ordersPerRound, roundMs) => {
      console.log(`faults: WAYBILL_RUN=${run} WAYBILL_SEED=${seed}`)
      const file = temporaryFile()
      const env = { WAYBILL_RUN: run, WAYBILL_CONCURRENCY: '4', ORDER_PROCESSING_MS: '150' }
      const book = new Book()
      const random = randomFrom(seed)
      for (let round = 0; round < ROUNDS; round++) {
        const app = await startApp({ file, env })
        const load = book.place(app, ordersPerRound, random)
        await sleep(30 + random() * roundMs)
        await app.killGroup()
        await load
      }
      const app = await startApp({ file, env: { ...env, ORDER_PROCESSING_MS: '0' } })
      // A client whose POST had no answer sends it again, with its key.
      await book.placeAgain(app)
      for (const path of book.accepted) await untilFinal(new URL(path, app.url).href)
      await app.stop()
      await book.check(file)
    },
  )
})

describe('a single process is killed', () => {
  onlyLong(it)('has its order run again at once if it is a child process', async () => {
    const file = temporaryFile()
    const app = await startApp({ file, env: { WAYBILL_CONCURRENCY: '1', ORDER_PROCESSING_MS: '60000' } })
    const statusUrl = await placeOrder(app.url)
    await untilAtWork(statusUrl)
    const [child = 0, ...others] = childrenOf(app.pid)
    expect(others).toEqual([])
    process.kill(child, 'SIGKILL')
    await until(statusUrl, ({ status, attempt }) => status === 'running' && attempt === 2)
    await app.stop()
    const { history } = await storedOperation(file)
    expect(history.map(({ number, outcome }) => [number, outcome])).toEqual([
      [1, 'failed'],
      [2, 'released'],
    ])
    expect(history[0]?.error).toMatchObject({ code: 'worker-lost', detail: expect.stringContaining('SIGKILL') })
  })

  it('has its order run again at once if it is the process of an execution', async () => {
    const file = temporaryFile()
    const app = await startApp({ file, env: { WAYBILL_RUN: 'process', ORDER_PROCESSING_MS: '60000' } })
    const statusUrl = await placeOrder(app.url)
    await untilAtWork(statusUrl)
    const [job = 0] = childrenOf(app.pid)
    process.kill(job, 'SIGKILL')
    await until(statusUrl, ({ status, attempt }) => status === 'running' && attempt === 2)
    await app.killGroup()
    const { history } = await storedOperation(file)
    expect(history.map(({ outcome }) => outcome)).toEqual(['lost'])
    expect(history[0]?.execution).toMatch(new RegExp(`^process-${job}-`))
    // Everyone who notices first tells: the launcher, that was its parent, or the sweeper.
    expect(history[0]?.error).toMatchObject({ code: 'worker-lost', detail: expect.stringMatching(/SIGKILL|is gone/) })
  })

  onlyLong(it)('fails the order in the end if the handler kills it each time', async () => {
    const file = temporaryFile()
    const app = await startApp({ file, entry: DEADLY })
    const accepted = await fetch(`${app.url}/deadly`, orderRequest())
    const statusUrl = new URL(accepted.headers.get('Location') ?? '', app.url).href
    const final = await untilFinal(statusUrl)
    expect(final).toMatchObject({ status: 'failed', attempt: 3, error: { code: 'worker-lost' } })
    expect((await fetch(statusUrl)).status).toBe(500)
    await app.stop()
    const { history } = await storedOperation(file, 'deadly')
    expect(history).toHaveLength(3)
  })

  onlyLong(it)('ends the operation by its deadline, which passes while no process runs', async () => {
    const file = temporaryFile()
    const app = await startApp({ file, entry: DEADLY })
    const accepted = await fetch(`${app.url}/hanging`, orderRequest())
    const statusUrl = new URL(accepted.headers.get('Location') ?? '', app.url).href
    const { deadline = '' } = await until(statusUrl, ({ status }) => status !== 'pending')
    await app.killGroup()
    while (Date.now() < Date.parse(deadline)) await sleep(50)
    const next = await startApp({ file, entry: DEADLY })
    const final = await untilFinal(at(next, statusUrl))
    expect(final).toMatchObject({ status: 'failed', attempt: 1, deadline, error: { code: 'deadline-exceeded' } })
    await next.stop()
  })

  it.each(atLength(['children'], ['children', 'process']))(
    'WAYBILL_RUN=%s: completes an order whose API alone was killed, and leaves no process behind',
    async run => {
      const file = temporaryFile()
      const env = { WAYBILL_RUN: run, WAYBILL_CONCURRENCY: '2', ORDER_PROCESSING_MS: '1500' }
      const app = await startApp({ file, env })
      const statusUrl = await placeOrder(app.url)
      await untilAtWork(statusUrl)
      const orphans = childrenOf(app.pid)
      expect(orphans.length).toBeGreaterThan(0)
      process.kill(app.pid, 'SIGKILL')
      await app.exited
      await Promise.all(orphans.map(untilGone))

      const next = await startApp({ file, env })
      expect(await untilFinal(at(next, statusUrl))).toMatchObject({ status: 'completed' })
      await next.stop()
      const { history } = await storedOperation(file)
      // A child ends with its worker; an execution needs no API to finish.
      expect(history.map(({ outcome }) => outcome)).toEqual(run === 'children' ? ['lost', 'completed'] : ['completed'])
    },
  )

  it('causes no second execution of an order if it is the API, which starts again', async () => {
    const file = temporaryFile()
    const env = { WAYBILL_RUN: 'process', ORDER_PROCESSING_MS: '3000' }
    const app = await startApp({ file, env })
    const statusUrl = await placeOrder(app.url)
    await untilAtWork(statusUrl)
    process.kill(app.pid, 'SIGKILL')
    await app.exited
    const next = await startApp({ file, env })
    expect(await untilFinal(at(next, statusUrl))).toMatchObject({ status: 'completed', attempt: 1 })
    await next.stop()
  })
})

describe('equal keys', () => {
  it('create one order from 100 concurrent POSTs', async () => {
    const file = temporaryFile()
    const app = await startApp({ file })
    const answers = await Promise.all(
      Array.from({ length: 100 }, () => fetch(`${app.url}/orders`, orderRequest(ORDER, 'one order'))),
    )
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([202]))
    expect(new Set(answers.map(({ headers }) => headers.get('Location'))).size).toBe(1)
    expect(answers.filter(({ headers }) => headers.get('Idempotency-Replayed') === 'true')).toHaveLength(99)
    const other = await fetch(`${app.url}/orders`, orderRequest({ ...ORDER, customer: 'Other' }, 'one order'))
    expect(other.status).toBe(422)
    await app.stop()
    await storedOperation(file)
  })
})

/** What clients sent and were told, and what has to hold of it. */
class Book {
  /** The status paths that came with a 202. */
  readonly accepted = new Set<string>()
  readonly #byKey = new Map<string, Set<string>>()
  readonly #unanswered = new Set<string>()
  readonly #finals = new Map<string, string>()
  #placed = 0

  /** Places orders until the API is gone: some with a key, some of these twice or more at once, and reads what became of earlier ones. */
  async place(app: App, count: number, random: () => number): Promise<void> {
    const orders = Array.from({ length: count }, async () => {
      await sleep(random() * 900)
      const key = random() < 0.6 ? `order-${this.#placed++}` : undefined
      const copies = key !== undefined && random() < 0.5 ? 2 + Math.floor(random() * 3) : 1
      await Promise.all(Array.from({ length: copies }, () => this.#post(app, key)))
    })
    await Promise.all([...orders, this.#readAll(app)])
  }

  /** Sends again what had no answer. */
  async placeAgain(app: App): Promise<void> {
    await Promise.all([...this.#unanswered].map(key => this.#post(app, key)))
    await this.#readAll(app)
  }

  /** Holds what the store has kept against what clients were told. */
  async check(file: string): Promise<void> {
    const stored = await storedOperations(file)
    const byId = new Map(stored.map(operation => [operation.id, operation]))
    expect(this.accepted.size).toBeGreaterThan(0)
    for (const path of this.accepted) {
      const operation = byId.get(path.slice(-36))
      expect(operation, `${path} was lost`).toBeDefined()
      expect(operation?.status, path).toBe('completed')
    }
    for (const [key, paths] of this.#byKey) expect([...paths], `${key} is more than one order`).toHaveLength(1)
    const keys = stored.flatMap(({ idempotencyKey }) => idempotencyKey ?? [])
    expect(new Set(keys).size).toBe(keys.length)
    for (const { id, history } of stored) {
      const outcomes = history.map(({ outcome }) => outcome)
      expect(outcomes.filter(outcome => outcome === 'completed').length, `${id}: ${outcomes}`).toBeLessThanOrEqual(1)
      expect(outcomes.indexOf('completed'), `${id}: ${outcomes}`).toBe(
        outcomes.includes('completed') ? outcomes.length - 1 : -1,
      )
    }
    for (const [id, final] of this.#finals) {
      const { status, version, finishedAt } = byId.get(id) ?? {}
      expect(`${status} ${new Date(finishedAt ?? 0).toISOString()}`, `${id}, version ${version}`).toBe(final)
    }
    const attempts = stored.reduce((sum, { attempt }) => sum + attempt, 0)
    console.log(`faults: ${this.accepted.size} accepted, ${stored.length} stored, ${attempts} attempts, 0 violations`)
  }

  async #post(app: App, key: string | undefined): Promise<void> {
    try {
      const path = new URL(await placeOrder(app.url, ORDER, key)).pathname
      this.accepted.add(path)
      if (key === undefined) return
      this.#unanswered.delete(key)
      this.#byKey.set(key, (this.#byKey.get(key) ?? new Set()).add(path))
    } catch (error) {
      // Killed before it answered: that is the fault. Whether the order was kept is not known.
      if (!(error instanceof TypeError)) throw error
      if (key !== undefined && !this.#byKey.has(key)) this.#unanswered.add(key)
    }
  }

  /** Reads every order once, and notes each end that was told. */
  async #readAll(app: App): Promise<void> {
    for (const path of [...this.accepted]) {
      const document = await readStatus(new URL(path, app.url).href).catch((error: unknown) => {
        if (!(error instanceof TypeError)) throw error
      })
      if (document?.finishedAt === undefined) continue
      const final = `${document.status} ${document.finishedAt}`
      expect(this.#finals.get(document.id) ?? final).toBe(final)
      this.#finals.set(document.id, final)
    }
  }
}

/** Numbers from 0 to 1 that a seed repeats (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}
