/** How a writer waits beside a busy process: it is as late as the pauses between its tries are long. */
import { afterEach, expect, test, vi } from 'vitest'
import { BUSY_MS, waitForTurn } from '../../../src/stores/sqlite/turns.ts'

afterEach(() => {
  vi.useRealTimers()
})

/** Lets each pause pass at once, by a clock that stands still otherwise. */
function withoutPauses() {
  vi.useFakeTimers({ toFake: ['performance'] })
  const pauses: number[] = []
  vi.spyOn(Atomics, 'wait').mockImplementation((_array, _index, _value, ms = 0) => {
    pauses.push(ms)
    vi.advanceTimersByTime(ms)
    return 'timed-out'
  })
  return pauses
}

function locked(): never {
  throw new Error('database is locked')
}

test('it tries again after about a millisecond, however often it was refused', () => {
  const pauses = withoutPauses()
  let tries = 0
  expect(waitForTurn(() => (++tries <= 1000 ? locked() : 'its turn'))).toBe('its turn')
  expect(pauses).toHaveLength(1000)
  expect(Math.min(...pauses)).toBeGreaterThanOrEqual(0.5)
  expect(Math.max(...pauses)).toBeLessThanOrEqual(1.5)
})

test('it gives up when the time for a lock is over, with the last error', () => {
  withoutPauses()
  const start = performance.now()
  expect(() => waitForTurn(locked)).toThrow('database is locked')
  expect(performance.now() - start).toBeGreaterThanOrEqual(BUSY_MS)
})

test('it waits only for locks', () => {
  const pauses = withoutPauses()
  const full = () => {
    throw new Error('database or disk is full')
  }
  expect(() => waitForTurn(full)).toThrow('database or disk is full')
  expect(pauses).toEqual([])
})
