import { expect } from 'vitest'
import { defineOperation, handler, ProblemError } from 'waybill'
import { sqliteStore } from 'waybill/stores/sqlite'
import { hasFinished, submit, test, until } from '../support/waybill.ts'

const orders = defineOperation({ name: 'orders', attempts: 1 })
const refunds = defineOperation({ name: 'refunds' })

test('statistics count accepted, ended and waiting operations, the reasons of failures, and the workers', async ({
  lab,
}) => {
  const open = Promise.withResolvers<void>()
  lab.onEnd(() => open.resolve())
  const handlers = handler(orders, async input => {
    if (input === 'hold') await open.promise
    if (input === 'fail') throw new ProblemError({ code: 'card-declined', status: 402 })
  })
  const waybill = await lab.waybill([orders, refunds], { worker: { handlers } })
  const { operator } = waybill
  for (const input of ['ok', 'ok', 'fail']) await hasFinished(waybill.store, await submit(waybill, orders, input))
  const held = await submit(waybill, orders, 'hold')
  await until(() => waybill.running() === 1)
  await submit(waybill, refunds)
  await operator.pause('refunds', { name: 'ann' })
  await operator.cancel(await submit(waybill, refunds), { name: 'ann' })
  const statistics = await operator.statistics({ window: '1m' })
  const { from, to, complete, series, wait, run, problems, types, workers } = statistics
  expect({ complete, span: to - from, parts: series.length }).toEqual({ complete: true, span: 60_000, parts: 60 })
  const sum = (name: 'accepted' | 'completed' | 'failed' | 'canceled') =>
    series.reduce((all, part) => all + part[name], 0)
  expect([sum('accepted'), sum('completed'), sum('failed'), sum('canceled')]).toEqual([6, 2, 1, 1])
  expect(series.map(({ at }) => at)).toEqual(series.map(({ at }) => at).toSorted((a, b) => a - b))
  expect([wait?.p50, run?.p99].every(ms => typeof ms === 'number' && ms >= 0)).toBe(true)
  expect(problems).toEqual([{ code: 'card-declined', count: 1 }])
  expect(types).toMatchObject([
    { operation: 'orders', paused: false, depth: 0, running: 1, oldestAt: null },
    { operation: 'refunds', paused: true, depth: 1, running: 0, oldestAt: expect.any(Number) },
  ])
  expect(workers).toMatchObject([{ operations: [{ id: held, type: 'orders', attempt: 1, execution: null }] }])
  await expect(operator.statistics({ window: 0 })).rejects.toThrow(TypeError)
})

test('statistics without data have no percentiles', async ({ lab }) => {
  const { operator } = await lab.waybill([orders])
  expect(await operator.statistics()).toMatchObject({
    complete: true,
    wait: null,
    run: null,
    problems: [],
    workers: [],
  })
})

test('statistics include the types of a store that are not declared, and their pauses', async ({ lab }) => {
  const path = lab.file()
  const waybill = await lab.waybill([orders, refunds], { store: sqliteStore({ path }) })
  await submit(waybill, orders)
  await submit(waybill, refunds)
  await waybill.operator.pause('refunds', { name: 'ann' })
  const beside = lab.composition([], { store: sqliteStore({ path }) })
  await beside.store.open()
  lab.onEnd(() => beside.stop())
  expect((await beside.operator.statistics({ window: '1s' })).types).toMatchObject([
    { operation: 'orders', paused: false, depth: 1 },
    { operation: 'refunds', paused: true, depth: 1 },
  ])
})
