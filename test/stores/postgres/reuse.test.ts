/** A statement waits for a connection that is in use, rather than open a further one. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { postgresStore } from 'waybill/stores/postgres'
import { Reuse } from '../../../src/stores/postgres/reuse.ts'
import { testDatabase } from '../../support/postgres.ts'

describe('the turns of statements', () => {
  /** As a pool counts: a turn takes an idle connection out of it, or opens one. */
  class Counted {
    idleCount = 0
    readonly reuse: Reuse = new Reuse({ pool: this, limitMs: 9000 })
    opened = 0

    async take(): Promise<void> {
      const turn = await this.reuse.turn()
      if (turn.isNew) this.opened++
      else this.idleCount--
      this.reuse.taken(turn)
    }

    giveBack(): void {
      this.idleCount++
      this.reuse.ended()
    }
  }

  /** How many of the promises have resolved. */
  async function settled(promises: readonly Promise<void>[]): Promise<number> {
    let count = 0
    for (const promise of promises) void promise.then(() => count++)
    await vi.advanceTimersByTimeAsync(0)
    return count
  }

  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())

  it('are at once where a connection is idle, or none is in use', async () => {
    const pool = new Counted()
    pool.idleCount = 2
    expect(await settled([pool.take(), pool.take(), pool.take()])).toBe(2)
    const unused = new Counted()
    expect(await settled([unused.take()])).toBe(1)
    expect([pool.opened, unused.opened]).toEqual([0, 1])
  })

  it('come in their order, each with a connection that was given back', async () => {
    const pool = new Counted()
    await pool.take()
    const waiting = [pool.take(), pool.take()]
    pool.giveBack()
    expect(await settled(waiting)).toBe(1)
    pool.giveBack()
    expect(await settled(waiting)).toBe(2)
    expect(pool.opened).toBe(1)
  })

  it('open a further connection when waits have added up', async () => {
    const pool = new Counted()
    await pool.take()
    for (let wait = 0; wait < 4; wait++) {
      const waiting = pool.take()
      await vi.advanceTimersByTimeAsync(10)
      pool.giveBack()
      await waiting
    }
    expect(pool.opened).toBe(1)
    const last = pool.take()
    await vi.advanceTimersByTimeAsync(10)
    await last
    expect(pool.opened).toBe(2)
  })

  it('open ever more quickly while nothing is given back', async () => {
    const pool = new Counted()
    await pool.take()
    const waiting = Array.from({ length: 9 }, () => pool.take())
    await vi.advanceTimersByTimeAsync(110)
    expect(await settled(waiting)).toBe(9)
    expect(pool.opened).toBe(10)
  })

  it('open one where the only connection is lost', async () => {
    const pool = new Counted()
    await pool.take()
    const waiting = pool.take()
    pool.reuse.ended()
    expect(await settled([waiting])).toBe(1)
    expect(pool.opened).toBe(2)
  })

  it('wait longer where it takes long to connect, but never for long', async () => {
    const pool = new Counted()
    const turn = await pool.reuse.turn()
    await vi.advanceTimersByTimeAsync(5000)
    pool.reuse.taken(turn)
    const waiting = pool.take()
    await vi.advanceTimersByTimeAsync(440)
    expect(await settled([waiting])).toBe(0)
    await vi.advanceTimersByTimeAsync(10)
    expect(await settled([waiting])).toBe(1)
  })
})

describe('a store', () => {
  const database = testDatabase()
  afterEach(() => void vi.useRealTimers())

  it('sends statements that come together over one connection, if none of them takes long', async () => {
    const pool = database.pool()
    const store = postgresStore(pool, { schema: database.nextSchema(), notifications: false })
    await store.open()
    // So none of them takes long, however busy the machine is.
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const opened = pool.totalCount
    const type = 'orders'
    await Promise.all([
      ...Array.from({ length: 8 }, () => store.holders()),
      ...Array.from({ length: 8 }, () => store.list({ type, owner: '', limit: 1 })),
      ...Array.from({ length: 8 }, () => store.queueStats(type)),
    ])
    expect(pool.totalCount).toBe(opened)
    vi.useRealTimers()
    await store.close()
  })
})
