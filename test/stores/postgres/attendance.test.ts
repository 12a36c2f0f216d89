/** When a process that does not listen looks for a free seat. */
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { Attendance } from '../../../src/stores/postgres/attendance.ts'
import { Audience } from '../../../src/stores/postgres/audience.ts'
import type { Connections } from '../../../src/stores/postgres/connections.ts'
import { NotificationPace } from '../../../src/stores/postgres/notification-pace.ts'

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

/** A process that is away, how often it has looked, and what ends it. */
function away() {
  const audience = new Audience()
  const looks = { count: 0 }
  const run = async () => {
    looks.count++
    return [[false]]
  }
  const attendance = new Attendance({
    connections: { run } as unknown as Connections,
    channel: 'waybill',
    pace: new NotificationPace(),
    audience,
    isFull: () => false,
    pollMs: 1000,
  })
  const controller = new AbortController()
  const ended = attendance.away(controller.signal)
  const end = () => {
    controller.abort()
    return ended
  }
  return { audience, looks, end }
}

it('a request that begins to wait has it look at once', async () => {
  const { audience, looks, end } = away()
  await vi.advanceTimersByTimeAsync(200)
  expect(looks.count).toBe(0)
  audience.add(() => {}, 'soon')
  await vi.advanceTimersByTimeAsync(1)
  expect(looks.count).toBe(1)
  await end()
})

it('requests that wait one after the other do not each have it look', async () => {
  const { audience, looks, end } = away()
  for (let request = 0; request < 200; request++) {
    const leave = audience.add(() => {}, 'soon')
    await vi.advanceTimersByTimeAsync(5)
    leave()
  }
  expect(looks.count).toBeGreaterThan(1)
  expect(looks.count).toBeLessThanOrEqual(20)
  await end()
})
