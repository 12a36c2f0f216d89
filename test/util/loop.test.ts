import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Loop, type LoopOptions } from '../../src/util/loop.ts'

const EVERY_MS = 1000
/** The longest time from one turn to the next, its jitter included. */
const LONGEST_MS = EVERY_MS * 1.1

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

function loop(turn: LoopOptions['turn'], onError: LoopOptions['onError'] = () => {}): Loop {
  return new Loop({ name: 'test', everyMs: EVERY_MS, turn, onError })
}

/** A turn that lasts until the test ends it. */
function heldTurns(): { turn: () => Promise<void>; began: () => number; end: () => Promise<void> } {
  let held = Promise.withResolvers<void>()
  let count = 0
  return {
    turn: async () => {
      count++
      await held.promise
    },
    began: () => count,
    end: async () => {
      held.resolve()
      held = Promise.withResolvers()
      await vi.advanceTimersByTimeAsync(0)
    },
  }
}

describe('a loop', () => {
  it('runs a turn when it starts, and then at least once in an interval', async () => {
    const turn = vi.fn(async () => {})
    const it = loop(turn)
    it.start()
    expect(turn).toHaveBeenCalledTimes(1)
    for (let count = 2; count <= 5; count++) {
      await vi.advanceTimersByTimeAsync(LONGEST_MS)
      expect(turn.mock.calls.length).toBeGreaterThanOrEqual(count)
    }
    await it.stop()
  })

  it('runs no turn before it is started, even if it is woken', async () => {
    const turn = vi.fn(async () => {})
    const it = loop(turn)
    it.wake()
    await vi.advanceTimersByTimeAsync(LONGEST_MS)
    expect(turn).not.toHaveBeenCalled()
  })

  it('runs a turn at once when it is woken', async () => {
    const turn = vi.fn(async () => {})
    const it = loop(turn)
    it.start()
    await vi.advanceTimersByTimeAsync(0)
    it.wake()
    expect(turn).toHaveBeenCalledTimes(2)
    await it.stop()
  })

  it('runs one more turn after the current one, however often it was woken, and never two at a time', async () => {
    const { turn, began, end } = heldTurns()
    const it = loop(turn)
    it.start()
    for (let time = 0; time < 5; time++) it.wake()
    expect(began()).toBe(1)
    await end()
    expect(began()).toBe(2)
    await end()
    expect(began()).toBe(2)
    await it.stop()
  })

  it('that is postponed leaves the next turn to another process, and runs it within two intervals if no other does', async () => {
    const turn = vi.fn(async () => {})
    const it = loop(turn)
    it.start()
    await vi.advanceTimersByTimeAsync(EVERY_MS * 0.8)
    it.putOff()
    await vi.advanceTimersByTimeAsync(LONGEST_MS - 1)
    expect(turn).toHaveBeenCalledTimes(1)
    await vi.advanceTimersByTimeAsync(EVERY_MS + 1)
    expect(turn.mock.calls.length).toBeGreaterThanOrEqual(2)
    await it.stop()
  })

  it('pauses once for the time that its turn returns, and less if it is woken or roused', async () => {
    let rest = 5 * EVERY_MS
    const turn = vi.fn(async () => it.rest(rest))
    const it = loop(turn)
    it.start()
    await vi.advanceTimersByTimeAsync(5 * EVERY_MS - 1)
    expect(turn).toHaveBeenCalledTimes(1)
    await vi.advanceTimersByTimeAsync(1)
    expect(turn).toHaveBeenCalledTimes(2)
    it.wake()
    await vi.advanceTimersByTimeAsync(0)
    expect(turn).toHaveBeenCalledTimes(3)
    rest = 0
    it.rouse()
    await vi.advanceTimersByTimeAsync(LONGEST_MS)
    expect(turn).toHaveBeenCalledTimes(4)
    await it.stop()
  })

  it('that is postponed runs no turn at once, however long its interval is', async () => {
    const turn = vi.fn(async () => {})
    // The longest interval that an option takes.
    const it = new Loop({ name: 'test', everyMs: 20 * 86_400_000, turn, onError: () => {} })
    vi.spyOn(Math, 'random').mockReturnValue(0.9)
    it.start()
    await vi.advanceTimersByTimeAsync(1000)
    it.putOff()
    await vi.advanceTimersByTimeAsync(1000)
    expect(turn).toHaveBeenCalledTimes(1)
    await it.stop()
  })

  it('that is postponed again and again runs a turn within eleven intervals, and is healthy meanwhile', async () => {
    const turn = vi.fn(async () => {})
    const it = loop(turn)
    it.start()
    for (let passed = 0; passed < 11.2 * EVERY_MS; passed += 100) {
      await vi.advanceTimersByTimeAsync(100)
      it.putOff()
      expect(it.idleMs).toBeLessThan(2.2 * EVERY_MS)
      expect(it.healthy).toBe(true)
    }
    expect(turn).toHaveBeenCalledTimes(2)
    await it.stop()
  })

  it('is not postponed after a failure, and a stopped loop runs no turn if it is postponed', async () => {
    let fails = true
    const turn = vi.fn(async () => {
      if (fails) throw new Error('It fails.')
    })
    const it = loop(turn)
    it.start()
    await vi.advanceTimersByTimeAsync(0)
    fails = false
    it.putOff()
    await vi.advanceTimersByTimeAsync(200)
    expect(turn).toHaveBeenCalledTimes(2)
    await it.stop()
    it.putOff()
    await vi.advanceTimersByTimeAsync(2 * LONGEST_MS)
    expect(turn).toHaveBeenCalledTimes(2)
  })

  it('reports a failed turn, and retries with growing delays of at most five seconds', async () => {
    const errors: unknown[] = []
    const turn = vi.fn(async () => {
      throw new Error('The store is away.')
    })
    const it = loop(turn, (error, name) => errors.push([name, (error as Error).message]))
    it.start()
    await vi.advanceTimersByTimeAsync(60_000)
    const perMinute = turn.mock.calls.length
    expect(errors).toHaveLength(perMinute)
    expect(errors[0]).toEqual(['test', 'The store is away.'])
    await vi.advanceTimersByTimeAsync(5000)
    expect(turn.mock.calls.length).toBeGreaterThan(perMinute)
    await it.stop()
  })

  it('is not accelerated by a wake while it waits for a retry', async () => {
    const turn = vi.fn(() => Promise.reject(new Error('No.')))
    const it = loop(turn)
    it.start()
    await vi.advanceTimersByTimeAsync(0)
    for (let time = 0; time < 10; time++) it.wake()
    await vi.advanceTimersByTimeAsync(0)
    expect(turn).toHaveBeenCalledTimes(1)
    await it.stop()
  })

  it('has the usual interval again after a successful turn', async () => {
    let broken = true
    const turn = vi.fn(() => (broken ? Promise.reject(new Error('No.')) : Promise.resolve()))
    const it = loop(turn)
    it.start()
    await vi.advanceTimersByTimeAsync(0)
    broken = false
    await vi.advanceTimersByTimeAsync(5000)
    const before = turn.mock.calls.length
    it.wake()
    expect(turn.mock.calls.length).toBe(before + 1)
    await it.stop()
  })

  it('reports a turn that throws synchronously like one that rejects', async () => {
    const onError = vi.fn()
    const it = loop(() => {
      throw new Error('No.')
    }, onError)
    it.start()
    await vi.advanceTimersByTimeAsync(0)
    expect(onError).toHaveBeenCalledTimes(1)
    await it.stop()
  })

  it('runs no turn once it is stopped, and stops after its current turn', async () => {
    const { turn, began, end } = heldTurns()
    const it = loop(turn)
    it.start()
    it.wake()
    const stopped = vi.fn()
    const stopping = it.stop().then(stopped)
    await vi.advanceTimersByTimeAsync(0)
    expect(stopped).not.toHaveBeenCalled()
    await end()
    await stopping
    it.wake()
    await vi.advanceTimersByTimeAsync(10 * EVERY_MS)
    expect(began()).toBe(1)
    expect(vi.getTimerCount()).toBe(0)
  })

  it('can be started again, after a failure too', async () => {
    const turn = vi.fn(() => Promise.reject(new Error('No.')))
    const it = loop(turn)
    it.start()
    await vi.advanceTimersByTimeAsync(0)
    await it.stop()
    it.start()
    expect(turn).toHaveBeenCalledTimes(2)
    await it.stop()
  })

  it('is healthy while it runs turns, and unhealthy after a long time without one', async () => {
    const { turn, end } = heldTurns()
    const it = loop(turn)
    expect(it.healthy).toBe(true)
    it.start()
    await vi.advanceTimersByTimeAsync(3 * EVERY_MS + 60_000)
    expect(it.healthy).toBe(true)
    await vi.advanceTimersByTimeAsync(5000)
    expect(it.healthy).toBe(false)
    expect(it.idleMs).toBe(3 * EVERY_MS + 65_000)
    await end()
    expect(it.healthy).toBe(true)
    expect(it.idleMs).toBe(0)
    await it.stop()
  })

  it('is healthy while every turn fails, as with an unreachable store', async () => {
    const it = loop(async () => {
      throw new Error('The store is away.')
    })
    it.start()
    await vi.advanceTimersByTimeAsync(600_000)
    expect(it.healthy).toBe(true)
    await it.stop()
  })

  it('is healthy when it is stopped', async () => {
    const it = loop(async () => {})
    it.start()
    await it.stop()
    await vi.advanceTimersByTimeAsync(100_000)
    expect(it.healthy).toBe(true)
  })
})
