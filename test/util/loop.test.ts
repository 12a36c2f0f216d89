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
  it('turns when it starts, and then at least once an interval', async () => {
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

  it('does not turn before it is started, nor when it is woken before', async () => {
    const turn = vi.fn(async () => {})
    const it = loop(turn)
    it.wake()
    await vi.advanceTimersByTimeAsync(LONGEST_MS)
    expect(turn).not.toHaveBeenCalled()
  })

  it('turns at once when it is woken', async () => {
    const turn = vi.fn(async () => {})
    const it = loop(turn)
    it.start()
    await vi.advanceTimersByTimeAsync(0)
    it.wake()
    expect(turn).toHaveBeenCalledTimes(2)
    await it.stop()
  })

  it('turns once more after the turn under way, however often it was woken, and never two at a time', async () => {
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

  it('that is put off leaves the next turn to another process, and turns within two intervals where none comes', async () => {
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

  it('rests once for as long as its turn says, and no longer when it is woken or roused', async () => {
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

  it('that is put off again and again turns within eleven intervals all the same, and is healthy meanwhile', async () => {
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

  it('is not put off while it has a failure to get over, and put off makes no stopped one turn', async () => {
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

  it('reports a turn that failed and tries again, ever later, within five seconds', async () => {
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

  it('is not hurried by a wake while it waits to try again', async () => {
    const turn = vi.fn(() => Promise.reject(new Error('No.')))
    const it = loop(turn)
    it.start()
    await vi.advanceTimersByTimeAsync(0)
    for (let time = 0; time < 10; time++) it.wake()
    await vi.advanceTimersByTimeAsync(0)
    expect(turn).toHaveBeenCalledTimes(1)
    await it.stop()
  })

  it('is as it was after a turn that succeeds again', async () => {
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

  it('turns no more once it is stopped, and stops when its turn has ended', async () => {
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

  it('is healthy while it turns, and no longer when it has not for long', async () => {
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

  it('is healthy while every turn fails, as when the store is away', async () => {
    const it = loop(async () => {
      throw new Error('The store is away.')
    })
    it.start()
    await vi.advanceTimersByTimeAsync(600_000)
    expect(it.healthy).toBe(true)
    await it.stop()
  })

  it('is healthy when it is stopped, as it was asked to be', async () => {
    const it = loop(async () => {})
    it.start()
    await it.stop()
    await vi.advanceTimersByTimeAsync(100_000)
    expect(it.healthy).toBe(true)
  })
})
