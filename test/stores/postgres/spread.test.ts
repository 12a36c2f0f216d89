import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { Spread } from '../../../src/stores/postgres/spread.ts'
import type { Hint } from '../../../src/stores/store.ts'

const ID = '01985c00-0000-7000-8000-000000000001'
const READY = { kind: 'ready', type: 'orders' } as const
const REFUNDS = { kind: 'ready', type: 'refunds' } as const
const ENDED = { kind: 'ended', id: ID } as const

let sent: Hint[]
let spread: Spread

beforeEach(() => {
  vi.useFakeTimers()
  sent = []
  spread = new Spread(hint => void sent.push(hint))
})
afterEach(() => {
  vi.useRealTimers()
})

/** Some hints, each of which leads to a look that finds nothing. */
function lose(times: number): void {
  for (let n = 0; n < times; n++) {
    spread.hear(READY)
    vi.advanceTimersByTime(50)
    spread.looked(['orders', 'others'], { found: false })
  }
  sent = []
}

it('passes on everything at once while looks find something, and after a look or two for nothing', () => {
  for (const hint of [READY, ENDED]) spread.hear(hint)
  spread.looked(['orders', 'others'], { found: true })
  spread.hear(READY)
  expect(sent).toEqual([READY, ENDED, READY])
  lose(1)
  spread.hear(READY)
  expect(sent).toEqual([READY])
})

it('passes on that work of a type is ready once for all that comes within a while, and all else at once', () => {
  lose(10)
  for (const hint of [READY, READY, ENDED, READY, REFUNDS]) spread.hear(hint)
  vi.advanceTimersByTime(24)
  expect(sent).toEqual([ENDED, REFUNDS])
  vi.advanceTimersByTime(26)
  expect(sent).toEqual([ENDED, REFUNDS, READY])
})

it('passes on at once again after a look that has found something', () => {
  lose(10)
  spread.looked(['orders', 'others'], { found: true })
  spread.hear(READY)
  expect(sent).toEqual([READY])
})

it('does not wait longer because of looks that no hint has led to', () => {
  for (let n = 0; n < 10; n++) spread.looked(['orders', 'others'], { found: false })
  spread.hear(READY)
  expect(sent).toEqual([READY])
})

it('passes on nothing after the end', () => {
  lose(10)
  spread.hear(READY)
  spread.stop()
  vi.advanceTimersByTime(100)
  expect(sent).toEqual([])
})
