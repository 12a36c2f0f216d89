import { describe, expect } from 'vitest'
import { defineOperation, handler } from 'waybill'
import { sqliteStore } from 'waybill/stores/sqlite'
import { handlerFile, play, plays } from '../support/handlers.ts'
import { hasFinished, hasStatus, logOf, recordOf, resultOf, submit, test, until } from '../support/waybill.ts'

const type = plays()
const children = { handlers: handlerFile('plays'), concurrency: 1 }

describe('a shutdown', () => {
  test('hands back the attempt of a handler that stops, and another worker completes it', async ({ lab }) => {
    const path = lab.file()
    const first = await lab.waybill([type], { store: sqliteStore({ path }), worker: children })
    const store = await lab.store(path)
    const id = await submit(first, type, play({ do: 'wait' }, { do: 'return', value: 'by the second' }))
    await until(async () => (await logOf(store, id)).length > 0)
    await first.stop()
    expect(await recordOf(store, id)).toMatchObject({ status: 'pending', attempt: 1, released: 1, holder: null })
    expect(await logOf(store, id)).toContain('ShutdownError')
    await lab.waybill([type], { store: sqliteStore({ path }), worker: children })
    expect(await resultOf(store, id)).toBe('by the second')
    const { history } = await recordOf(store, id)
    expect(history.map(({ outcome }) => outcome)).toEqual(['released', 'completed'])
  })

  test('hands back the attempt of a handler that ignores it, and ends its process', async ({ lab }) => {
    const path = lab.file()
    const waybill = await lab.waybill([type], {
      store: sqliteStore({ path }),
      worker: { ...children, shutdownTimeout: 100 },
    })
    const store = await lab.store(path)
    const id = await submit(waybill, type, play({ do: 'ignore' }))
    await until(async () => (await logOf(store, id)).length > 0)
    await waybill.stop()
    expect(await recordOf(store, id)).toMatchObject({ status: 'pending', attempt: 1, released: 1, lost: 0 })
  })

  test('counts no attempt, however often it happens', async ({ lab }) => {
    const path = lab.file()
    const once = defineOperation({ name: 'once', attempts: 1 })
    const store = await lab.store(path)
    const handlers = handler(once, async (_, job) => {
      if (job.attempt > 3) return job.attempt
      return await new Promise<never>((_, reject) => {
        job.signal.addEventListener('abort', () => reject(job.signal.reason))
      })
    })
    const id = await submit(lab.composition([once], { store }), once)
    for (let restart = 1; restart <= 3; restart++) {
      const waybill = await lab.waybill([once], { store: sqliteStore({ path }), worker: { handlers } })
      await hasStatus(store, id, 'running')
      await waybill.stop()
      await hasStatus(store, id, 'pending')
    }
    await lab.waybill([once], { store: sqliteStore({ path }), worker: { handlers } })
    expect(await resultOf(store, id)).toBe(4)
    expect(await recordOf(store, id)).toMatchObject({ attempt: 4, released: 3 })
  })

  for (const run of ['children', 'inline'] as const) {
    test(`accepts the outcome of a handler that ends within the shutdown time, though its grace period is shorter, ${run}`, async ({
      lab,
    }) => {
      const path = lab.file()
      const worker = { ...children, run, gracePeriod: 50, shutdownTimeout: 20_000 }
      const waybill = await lab.waybill([type], { store: sqliteStore({ path }), worker })
      const store = await lab.store(path)
      const id = await submit(waybill, type, play({ do: 'linger', ms: 400 }))
      await until(async () => (await logOf(store, id)).length > 0)
      await waybill.stop()
      expect(await resultOf(store, id)).toBe('lingered')
      expect(await recordOf(store, id)).toMatchObject({ attempt: 1, released: 0 })
    })
  }

  test('claims nothing more', async ({ lab }) => {
    const path = lab.file()
    const waybill = await lab.waybill([type], {
      store: sqliteStore({ path }),
      worker: { ...children, shutdownTimeout: 20_000 },
    })
    const store = await lab.store(path)
    const first = await submit(waybill, type, play({ do: 'linger', ms: 200 }))
    await until(async () => (await logOf(store, first)).length > 0)
    const stopped = waybill.stop()
    const second = await submit(lab.composition([type], { store }), type, play({ do: 'return' }))
    await stopped
    expect(await recordOf(store, second)).toMatchObject({ status: 'pending', attempt: 0 })
    expect(await recordOf(store, first)).toMatchObject({ status: 'completed' })
  })

  test('records a cancel that was requested before', async ({ lab }) => {
    const path = lab.file()
    const worker = { ...children, gracePeriod: 20_000, shutdownTimeout: 100 }
    const waybill = await lab.waybill([type], { store: sqliteStore({ path }), worker })
    const store = await lab.store(path)
    const id = await submit(waybill, type, play({ do: 'ignore' }))
    await until(async () => (await logOf(store, id)).length > 0)
    await waybill.operations.cancel(id, '')
    await waybill.stop()
    expect(await recordOf(store, id)).toMatchObject({ status: 'canceled', error: { code: 'operation-canceled' } })
  })

  test('twice is the same as once', async ({ lab }) => {
    const waybill = await lab.waybill([type], { worker: children })
    await Promise.all([waybill.stop(), waybill.stop()])
    await waybill.stop()
  })

  test('hands back operations that were claimed while it began', async ({ lab }) => {
    const path = lab.file()
    const apples = defineOperation({ name: 'apples' })
    const store = sqliteStore({ path })
    const waybill = await lab.waybill([apples], {
      store,
      worker: { handlers: handler(apples, () => 'done'), pollInterval: 10 },
    })
    const beside = await lab.store(path)
    const ids = await Promise.all(Array.from({ length: 50 }, () => submit(waybill, apples)))
    await waybill.stop()
    for (const id of ids) {
      const { status, attempt, released } = await recordOf(beside, id)
      expect(status === 'completed' || attempt === released).toBe(true)
    }
  })
})

test('operations that were accepted before a restart run after it', async ({ lab }) => {
  const path = lab.file()
  const before = await lab.waybill([type], { store: sqliteStore({ path }) })
  const id = await submit(before, type, play({ do: 'return', value: 'after' }))
  await before.stop()
  const after = await lab.waybill([type], { store: sqliteStore({ path }), worker: children })
  await hasStatus(after.store, id, 'completed')
  expect(await hasFinished(after.store, id)).toMatchObject({ attempt: 1 })
})
