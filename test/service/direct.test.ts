/** What a program calls without HTTP, and the hooks that it is called by. */
import { describe, expect, expectTypeOf } from 'vitest'
import { defineOperation, handler, ProblemError } from 'waybill'
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

  test('throw the problem of what failed, and end a wait in time', async ({ lab }) => {
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

  test('that throw are logged, and change nothing', async ({ lab }) => {
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
