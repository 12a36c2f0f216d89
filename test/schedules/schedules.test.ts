/** Timetables: each tick once, whatever the clock, the time zone and the processes do. */
import { describe, expect } from 'vitest'
import { defineOperation, handler } from 'waybill'
import type { ScheduleOptions } from 'waybill/server'
import { sqliteStore } from 'waybill/stores/sqlite'
import { manualClock, testWaybill } from 'waybill/testing'
import { composeWaybill } from '../../src/waybill.ts'
import { SILENT, type TestContext, test, until } from '../support/waybill.ts'

const reports = defineOperation({ name: 'reports', retention: '365d' })
const MINUTE = 60_000
const HOUR = 60 * MINUTE

/** A Waybill in memory with one schedule, and the times of the ticks that it has submitted. */
async function scheduled(lab: TestContext, start: string, options: Partial<ScheduleOptions>) {
  const schedule = {
    name: 'nightly',
    operation: reports,
    cron: '0 3 * * *',
    input: (at: Date) => at.toISOString(),
    ...options,
  }
  const clock = manualClock(Date.parse(start))
  const handlers = handler(reports, input => input)
  const waybill = await testWaybill({ operations: [reports], handlers, schedules: [schedule], clock })
  lab.onEnd(() => waybill.close())
  const { operations, store } = waybill.waybill
  const ticks = async () => {
    const found = await operations.list(reports, { limit: 1000 })
    const inputs = await Promise.all(found.map(({ id }) => store.readPayload(id, 'input')))
    return inputs.map(input => JSON.parse(input ?? 'null') as string).sort()
  }
  /** Moves the clock there hour by hour. */
  const passUntil = async (time: string) => {
    while (clock.now() < Date.parse(time)) {
      clock.advance(Math.min(HOUR, Date.parse(time) - clock.now()))
      await waybill.drain()
    }
  }
  return { waybill, clock, ticks, passUntil }
}

describe('a schedule', () => {
  test('submits its operation at each tick, with the input of the tick', async ({ lab }) => {
    const { ticks, passUntil } = await scheduled(lab, '2026-03-01T00:00:00Z', {})
    await passUntil('2026-03-03T02:59:00Z')
    expect(await ticks()).toEqual(['2026-03-01T03:00:00.000Z', '2026-03-02T03:00:00.000Z'])
    await passUntil('2026-03-03T03:00:00Z')
    expect(await ticks()).toHaveLength(3)
  })

  test('follows its time zone through both changes of daylight saving time', async ({ lab }) => {
    const daily = { cron: '30 12 * * *', timezone: 'Europe/Berlin' }
    const spring = await scheduled(lab, '2026-03-28T00:00:00Z', daily)
    await spring.passUntil('2026-03-30T00:00:00Z')
    expect(await spring.ticks()).toEqual(['2026-03-28T11:30:00.000Z', '2026-03-29T10:30:00.000Z'])
    const autumn = await scheduled(lab, '2026-10-24T00:00:00Z', daily)
    await autumn.passUntil('2026-10-26T00:00:00Z')
    expect(await autumn.ticks()).toEqual(['2026-10-24T10:30:00.000Z', '2026-10-25T11:30:00.000Z'])
  })

  test('ticks once in the hour that daylight saving time skips or repeats', async ({ lab }) => {
    const daily = { cron: '30 2 * * *', timezone: 'Europe/Berlin' }
    const spring = await scheduled(lab, '2026-03-28T12:00:00Z', daily)
    await spring.passUntil('2026-03-29T12:00:00Z')
    expect(await spring.ticks()).toHaveLength(1)
    const autumn = await scheduled(lab, '2026-10-24T12:00:00Z', daily)
    await autumn.passUntil('2026-10-25T12:00:00Z')
    expect(await autumn.ticks()).toHaveLength(1)
  })

  test('handles leap days', async ({ lab }) => {
    const { ticks, clock, waybill } = await scheduled(lab, '2027-12-01T00:00:00Z', { cron: '0 0 29 2 *' })
    clock.advanceTo(Date.parse('2028-02-29T00:00:00Z'))
    await waybill.drain()
    expect(await ticks()).toEqual(['2028-02-29T00:00:00.000Z'])
  })

  test.for([
    ['none', []],
    ['latest', ['2026-03-03T03:00:00.000Z']],
    ['all', ['2026-03-01T03:00:00.000Z', '2026-03-02T03:00:00.000Z', '2026-03-03T03:00:00.000Z']],
  ] as const)('catches up on missed ticks: %s', async ([catchUp, made], { lab }) => {
    const { ticks, clock, waybill, passUntil } = await scheduled(lab, '2026-03-01T00:00:00Z', { catchUp })
    clock.advanceTo(Date.parse('2026-03-03T12:00:00Z'))
    await waybill.drain()
    expect(await ticks()).toEqual(made)
    await passUntil('2026-03-04T03:00:00Z')
    expect(await ticks()).toEqual([...made, '2026-03-04T03:00:00.000Z'])
  })

  test.for([
    ['none', '* * * * *', '2026-04-01T01:00:00.000Z'],
    ['latest', '* * * * *', '2026-04-01T01:00:00.000Z'],
    // Each second of March.
    ['latest', '* * * * 3 *', '2026-03-31T23:59:59.000Z'],
  ] as const)('catches up on thousands of missed ticks: %s of %s', async ([catchUp, cron, tick], { lab }) => {
    const { ticks, clock, waybill } = await scheduled(lab, '2026-03-01T00:00:00Z', { cron, catchUp })
    clock.advanceTo(Date.parse('2026-04-01T01:00:30Z'))
    await waybill.drain()
    expect(await ticks()).toEqual([tick])
  })

  test('skips a tick while the operation of an earlier one is unfinished, if configured', async ({ lab }) => {
    const { ticks, clock, waybill } = await scheduled(lab, '2026-03-01T00:00:00Z', { overlap: 'skip' })
    const { operator } = waybill.waybill
    await operator.pause('reports', { name: 'ann' })
    for (const day of [1, 2]) {
      clock.advanceTo(Date.parse(`2026-03-0${day}T03:00:00Z`))
      await until(
        async () =>
          (await waybill.waybill.store.browse({ type: 'schedule-nightly', status: 'completed', limit: 9 })).operations
            .length === day,
      )
    }
    expect(await ticks()).toHaveLength(1)
    await operator.resume('reports', { name: 'ann' })
    await waybill.drain()
    clock.advanceTo(Date.parse('2026-03-03T03:00:00Z'))
    await waybill.drain()
    expect(await ticks()).toEqual(['2026-03-01T03:00:00.000Z', '2026-03-03T03:00:00.000Z'])
  })

  test('can be paused and resumed by the type of its ticks', async ({ lab }) => {
    const { ticks, clock, waybill } = await scheduled(lab, '2026-03-01T00:00:00Z', {})
    const { operator } = waybill.waybill
    await operator.pause('schedule-nightly', { name: 'ann' })
    clock.advanceTo(Date.parse('2026-03-02T12:00:00Z'))
    await waybill.waybill.store.sweep(10)
    expect(await ticks()).toEqual([])
    await operator.resume('schedule-nightly', { name: 'ann' })
    await waybill.drain()
    expect(await ticks()).toEqual(['2026-03-02T03:00:00.000Z'])
  })

  test('is not listed for operators, unless they filter by its type', async ({ lab }) => {
    const { waybill, clock } = await scheduled(lab, '2026-03-01T00:00:00Z', {})
    clock.advanceTo(Date.parse('2026-03-01T03:00:00Z'))
    await waybill.drain()
    const { operator } = waybill.waybill
    expect((await operator.browse({})).items.map(({ type }) => type)).toEqual(['reports'])
    expect((await operator.browse({ type: 'schedule-nightly' })).items).toHaveLength(2)
    expect((await operator.preview('delete', {})).count).toBe(1)
    expect((await operator.preview('cancel', {})).count).toBe(0)
  })

  test('ticks once even if the clock is set back before the tick', async ({ lab }) => {
    const { ticks, clock, waybill } = await scheduled(lab, '2026-03-01T02:59:00Z', {})
    clock.advance(2 * MINUTE)
    await waybill.drain()
    clock.step(-5 * MINUTE)
    await waybill.waybill.store.sweep(10)
    clock.advance(10 * MINUTE)
    await waybill.drain()
    expect(await ticks()).toEqual(['2026-03-01T03:00:00.000Z'])
  })

  test('of several processes on one store ticks once, also if each computes another input', async ({ lab }) => {
    const path = lab.file()
    const clock = manualClock(Date.parse('2026-03-01T02:59:00Z'))
    const compose = async () => {
      const store = sqliteStore({ path, clock: clock.now, monotonicClock: clock.monotonic, synchronous: 'NORMAL' })
      const schedule = { name: 'nightly', operation: reports, cron: '0 3 * * *', input: () => Math.random() }
      const waybill = composeWaybill({ operations: [reports], store, schedules: [schedule], logger: SILENT }, clock.now)
      await waybill.start()
      lab.onEnd(() => waybill.stop())
      return waybill
    }
    const all = [await compose(), await compose(), await compose()]
    clock.advance(2 * MINUTE)
    const [first] = all
    if (first === undefined) throw new Error('There is no Waybill.')
    await until(
      async () =>
        (await first.store.browse({ type: 'schedule-nightly', status: 'completed', limit: 9 })).operations.length === 1,
    )
    expect(await first.operations.list(reports)).toHaveLength(1)
    expect(
      (await first.store.browse({ type: 'schedule-nightly', status: 'pending', limit: 9 })).operations,
    ).toHaveLength(1)
  })

  test('that is invalid is refused with its name', async () => {
    const refused = async (...schedules: ScheduleOptions[]) =>
      await testWaybill({ operations: [reports], schedules }).then(
        () => 'accepted',
        (error: Error) => error.message,
      )
    const right = { name: 'a', operation: reports, cron: '* * * * *' }
    expect(await refused({ ...right, cron: 'often' })).toMatch(
      /^schedules: "a": cron "often" in the time zone "UTC" cannot be read\. /,
    )
    expect(await refused({ ...right, timezone: 'Mars/Olympus' })).toContain('time zone "Mars/Olympus"')
    expect(await refused({ ...right, name: 'A' })).toContain('lower-case letters')
    expect(await refused(right, right)).toBe('schedules: two are named "a".')
    const other = defineOperation({ name: 'other' })
    expect(await refused({ ...right, operation: other })).toContain(
      'must be one of the operation types of "operations"',
    )
  })
})
