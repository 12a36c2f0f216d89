/** What a program calls without HTTP, and the hooks that it is called by. */
import { describe, expect, expectTypeOf } from 'vitest'
import { batchOf, defineOperation, handler, ProblemError } from 'waybill'
import { sqliteStore } from 'waybill/stores/sqlite'
import { z } from 'zod'
import { hasFinished, KeptLog, test, until } from '../support/waybill.ts'

const orders = defineOperation({
  name: 'orders',
  input: z.object({ item: z.string() }),
  output: z.object({ packed: z.string() }),
  attempts: 1,
})
const open = Promise.withResolvers<void>()
const pack = handler(orders, async ({ item }, job) => {
  if (item === 'none') throw new ProblemError({ code: 'out-of-stock', status: 409 })
  if (item === 'hold')
    await Promise.race([open.promise, new Promise(resolve => job.signal.addEventListener('abort', resolve))])
  return { packed: item }
})

describe('direct calls', () => {
  test('submit, wait for and read an operation, typed', async ({ lab }) => {
    const waybill = await lab.waybill([orders], { worker: { handlers: pack } })
    const { id } = await waybill.submit(orders, { item: 'apple' }, { owner: 'ann' })
    expect(await waybill.wait(id, { owner: 'ann' })).toMatchObject({ status: 'completed' })
    const output = await waybill.result(orders, id, { owner: 'ann' })
    expectTypeOf(output).toEqualTypeOf<{ packed: string }>()
    expect(output).toEqual({ packed: 'apple' })
    await expect(waybill.result(orders, id)).rejects.toMatchObject({ problem: { code: 'not-found' } })
    await expect(waybill.wait(id)).rejects.toMatchObject({ problem: { code: 'not-found' } })
    // @ts-expect-error The input is checked by the compiler too.
    await expect(waybill.submit(orders, { item: 1 })).rejects.toMatchObject({ problem: { code: 'invalid-input' } })
  })

  test('throw the problem of a failed operation, and end a wait after its timeout', async ({ lab }) => {
    const waybill = await lab.waybill([orders], { worker: { handlers: pack } })
    const { id } = await waybill.submit(orders, { item: 'none' })
    await waybill.wait(id)
    await expect(waybill.result(orders, id)).rejects.toMatchObject({ problem: { code: 'out-of-stock' } })
    const held = await waybill.submit(orders, { item: 'hold' })
    expect(await waybill.wait(held.id, { timeout: 1 })).not.toMatchObject({ status: 'completed' })
    expect(await waybill.wait(held.id, { signal: AbortSignal.abort() })).not.toMatchObject({ status: 'completed' })
    await expect(waybill.result(orders, held.id)).rejects.toMatchObject({ problem: { code: 'not-finished' } })
    await waybill.cancel(held.id)
    await hasFinished(waybill.store, held.id)
  })
})

describe('hooks', () => {
  test('are called once for what this process accepts and ends', async ({ lab }) => {
    const told: string[] = []
    const tell = (what: string) => (it: { id: string; status: string }) => told.push(`${what} ${it.id} ${it.status}`)
    const hooks = { onAccepted: tell('accepted'), onFinished: tell('finished'), onFailed: tell('failed') }
    const waybill = await lab.waybill([orders], { worker: { handlers: pack }, ...hooks })
    const ids: string[] = []
    for (const item of ['apple', 'none']) {
      const { id } = await waybill.submit(orders, { item })
      ids.push(id)
      await waybill.wait(id)
      await until(() => told.some(line => line.startsWith(`finished ${id}`)))
    }
    await waybill.operator.retry(ids[1] ?? '', { name: 'ann' })
    await until(() => told.filter(line => line.startsWith('failed')).length === 2)
    expect(told.slice(0, 5)).toEqual([
      `accepted ${ids[0]} pending`,
      `finished ${ids[0]} completed`,
      `accepted ${ids[1]} pending`,
      `finished ${ids[1]} failed`,
      `failed ${ids[1]} failed`,
    ])
    expect(told).toHaveLength(8)
  })

  test('are called once for what a sweep ends, in the process whose sweep it is', async ({ lab }) => {
    const late = defineOperation({ name: 'late', startDeadline: '50ms' })
    const lost = defineOperation({ name: 'lost', lostAttempts: 0 })
    const told: string[] = []
    const tell = (what: string) => (it: { id: string; error: { code?: string } | null }) =>
      told.push(`${what} ${it.id} ${it.error?.code}`)
    const hooks = { onFinished: tell('finished'), onFailed: tell('failed') }
    const path = lab.file()
    const [waybill, other] = [
      await lab.waybill([late, lost], { store: sqliteStore({ path }), ...hooks }),
      await lab.waybill([late, lost], { store: sqliteStore({ path }), ...hooks }),
    ]
    const { id: first } = await waybill.submit(late, null)
    const { id: second } = await waybill.submit(lost, null)
    await waybill.store.claim({ holder: 'elsewhere/1/x', leaseMs: 50, execution: null, from: { id: second } })
    for (const id of [first, second]) expect(await hasFinished(other.store, id)).toMatchObject({ status: 'failed' })
    await until(() => told.length >= 4)
    await Promise.all([waybill.stop(), other.stop()])
    expect(told.sort()).toEqual([
      ...[`failed ${first} start-deadline`, `failed ${second} worker-lost`].sort(),
      ...[`finished ${first} start-deadline`, `finished ${second} worker-lost`].sort(),
    ])
    const texts = await Promise.all([waybill.metrics.text(), other.metrics.text()])
    for (const operation of ['late', 'lost']) {
      const counted = `waybill_operations_finished_total{operation="${operation}",outcome="failed"} 1`
      expect(texts.filter(text => text.includes(counted))).toHaveLength(1)
    }
    expect(texts.filter(text => text.includes('waybill_attempts_lost_total 1'))).toHaveLength(1)
  })

  test('are called, and counted, for each item of a batch, also for one that is refused', async ({ lab }) => {
    const told: string[] = []
    const tell = (what: string) => (it: { type: string; status: string }) =>
      told.push(`${what} ${it.type} ${it.status}`)
    const hooks = { onAccepted: tell('accepted'), onFinished: tell('finished'), onFailed: tell('failed') }
    const batches = batchOf(orders)
    const waybill = await lab.waybill([orders, batches], { worker: { handlers: pack }, ...hooks })
    const { id } = await waybill.submit(batches, [{ item: 'apple' }, { item: 1 }] as never)
    await waybill.wait(id)
    await until(() => told.length === 7)
    expect(told.toSorted()).toEqual([
      'accepted orders pending',
      'accepted orders pending',
      'accepted orders/batches pending',
      'failed orders failed',
      'finished orders completed',
      'finished orders failed',
      'finished orders/batches completed',
    ])
    const text = await waybill.metrics.text()
    expect(text).toContain('waybill_operations_accepted_total{operation="orders"} 2')
    for (const outcome of ['completed', 'failed']) {
      expect(text).toContain(`waybill_operations_finished_total{operation="orders",outcome="${outcome}"} 1`)
    }
  })

  test('that throw are logged, without further effect', async ({ lab }) => {
    const logger = new KeptLog()
    const onAccepted = () => {
      throw new Error('a hook')
    }
    const waybill = await lab.waybill([orders], { worker: { handlers: pack }, logger, onAccepted })
    const { id } = await waybill.submit(orders, { item: 'apple' })
    expect(await waybill.wait(id)).toMatchObject({ status: 'completed' })
    expect(logger.lines).toContainEqual(expect.objectContaining({ message: 'A hook of the composition failed' }))
  })
})
