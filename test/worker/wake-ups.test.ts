import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { WakeUps } from '../../src/worker/wake-ups.ts'
import { countTimers } from '../support/live-timers.ts'
import { until } from '../support/waybill.ts'

test('a wake-up happens at the end of each delay, in any order, and not before', async () => {
  const woken: number[] = []
  const wakeUps = new WakeUps(() => woken.push(performance.now()))
  onTestFinished(() => wakeUps.stop())
  const began = performance.now()
  for (const ms of [300, 100, 200, -5]) wakeUps.add(ms)
  await until(() => (woken.at(-1) ?? 0) - began >= 300)
  // A slow machine may find several ends at once.
  expect(woken.length).toBeLessThanOrEqual(4)
  await until(() => performance.now() - began > 400)
  const last = woken.length
  await sleep(50)
  expect(woken).toHaveLength(last)
})

test('one timer serves any number of delays, also one that is longer than any timer', async () => {
  const timers = countTimers()
  const wakeUps = new WakeUps(() => {})
  for (let ms = 20_000; ms > 0; ms -= 1) wakeUps.add(ms * 1000)
  wakeUps.add(10 * 365 * 86_400_000)
  // What was cleared counts for another moment.
  await until(() => timers.live() < 5)
  expect(timers.live()).toBeGreaterThan(0)
  wakeUps.stop()
  timers.stop()
})
