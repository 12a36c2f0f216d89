/** Many operations that sleep: they hold nothing, and each goes on when its time has come. The benchmark `sleeping` has 10,000. */
import { expect } from 'vitest'
import { defineOperation, handler } from 'waybill'
import { sqliteStore } from 'waybill/stores/sqlite'
import { manualClock } from 'waybill/testing'
import { isSuspended } from '../../src/model/operation.ts'
import { atLength } from '../support/length.ts'
import { countTimers } from '../support/live-timers.ts'
import { resultOf, submit, test, until } from '../support/waybill.ts'

const COUNT = atLength(100, 500)
const HOUR = 3_600_000
const naps = defineOperation({ name: 'naps' })
const quick = defineOperation({ name: 'quick' })

test('many operations sleep without a slot or a timer, and wake at their time, and not before', async ({ lab }) => {
  const clock = manualClock()
  const store = sqliteStore({ path: ':memory:', clock: clock.now, monotonicClock: clock.monotonic })
  const woke: number[] = []
  const handlers = [
    handler(naps, async (input, job) => {
      await job.sleep('nap', Number(input))
      woke.push(Number(input))
    }),
    handler(quick, () => 'done'),
  ]
  const timers = countTimers()
  lab.onEnd(timers.stop)
  const waybill = await lab.waybill([naps, quick], { store, worker: { handlers, concurrency: 2 } })
  // One half an hour later than the other.
  const hours = (index: number) => (index % 2 === 0 ? HOUR : 2 * HOUR)
  await Promise.all(Array.from({ length: COUNT }, (_, index) => submit(waybill, naps, hours(index))))
  const asleep = async () => (await store.list({ type: 'naps', owner: '', limit: COUNT })).filter(isSuspended).length
  await until(async () => (await asleep()) === COUNT)

  const runOther = async () => expect(await resultOf(store, await submit(waybill, quick))).toBe('done')
  await runOther()
  expect((await store.list({ type: 'naps', owner: '', status: 'running', limit: 1 })).length).toBe(0)
  // A few loops have theirs.
  expect(timers.live()).toBeLessThan(50)
  clock.advance(HOUR - 1)
  await runOther()
  expect(woke).toEqual([])
  clock.advance(1)
  await until(() => woke.length === COUNT / 2)
  await runOther()
  expect(new Set(woke)).toEqual(new Set([HOUR]))
  clock.advance(HOUR)
  await until(() => woke.length === COUNT)
})
