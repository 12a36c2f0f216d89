/** Operations that a handler submits, from the handler's side. */
import { describe, expect } from 'vitest'
import { type Child, defineOperation, handler, type Job, media, ProblemError } from 'waybill'
import { folderBlobs } from 'waybill/blobs/folder'
import { type TestWaybillOptions, testWaybill } from 'waybill/testing'
import { z } from 'zod'
import type { BlobStore } from '../../src/blobs/blob-store.ts'
import { isSuspended } from '../../src/model/operation.ts'
import { submit, type TestContext, test, until } from '../support/waybill.ts'

const parents = defineOperation({ name: 'parents', attempts: 2, backoff: { initial: 10 } })
const squares = defineOperation({
  name: 'squares',
  attempts: 1,
  input: z.object({ of: z.number() }),
  output: z.number(),
  tags: ({ of }) => ({ of }),
})

const LINKS = { status: '', result: '', operation: '', events: '' }

type Run = (job: Job) => unknown
type Square = (of: number, job: Job) => unknown

async function slowly(of: number, job: Job) {
  await job.sleep('slow', '10m')
  return of * of
}

/** A Waybill in memory whose parents run as given, and an operation of them. */
async function started(lab: TestContext, run: Run, square: Square = of => of * of, blobs?: BlobStore) {
  const handlers = [
    handler(parents, async (_, job) => (await run(job)) as never),
    handler(squares, async ({ of }, job) => (await square(of, job)) as number),
  ]
  const options: TestWaybillOptions = { operations: [parents, squares], handlers, blobs }
  const waybill = await testWaybill(options)
  lab.onEnd(() => waybill.close())
  const parent = await waybill.submit(parents, null, { owner: 'ann' })
  return { waybill, parent, store: waybill.waybill.store }
}

describe('job.submit', () => {
  test('returns a child whose result the handler waits for without a slot', async ({ lab }) => {
    const runs: number[] = []
    const run = async (job: Job) => {
      runs.push(job.attempt)
      const child = await job.submit(squares, { of: 7 })
      return { result: await child.result(), id: child.id, key: child.key }
    }
    const { waybill, parent, store } = await started(lab, run, slowly)
    await waybill.drain()
    const output = (await parent.result()) as { result: number; id: string; key: string }
    expect(output).toMatchObject({ result: 49, key: 'squares' })
    expect(await store.read(output.id)).toMatchObject({ parent: parent.id, owner: 'ann', tags: { of: '7' } })
    await until(async () => (await store.familyDue(10)).length === 0)
    expect((await parent.attempts()).map(({ outcome }) => outcome)).toEqual(['suspended', 'completed'])
    expect(runs).toEqual([1, 2])
    const document = await waybill.waybill.operations.document(await parent.read(), LINKS)
    expect(document.children).toEqual({ total: 1, completed: 1, failed: 0, canceled: 0 })
  })

  test('submits once for the operation, also if an attempt is lost or fails afterwards', async ({ lab }) => {
    const { waybill, parent, store } = await started(lab, async job => {
      const children = [await job.submit(squares, { of: 2 }), await job.submit(squares, { of: 3 }, { key: 'three' })]
      if (job.attempt === 1) throw new Error('Once.')
      return await job.all(children)
    })
    await waybill.drain()
    expect(await parent.result()).toEqual([4, 9])
    expect(await store.countChildren(parent.id)).toMatchObject({ completed: 2, unfinished: 0 })
  })

  test('refuses a key under which an earlier version of the handler has submitted another type', async ({ lab }) => {
    const errors: unknown[] = []
    const { waybill, parent } = await started(lab, async job => {
      if (job.attempt === 1) {
        await job.submit(squares, { of: 2 }, { key: 'one' })
        throw new Error('Once.')
      }
      const child = await job.submit(parents, null, { key: 'one' })
      await child.result().catch(error => errors.push(error))
    })
    await waybill.drain()
    await parent.result()
    expect(errors).toMatchObject([{ message: expect.stringContaining('is of the type "squares"') }])
  })

  test('refuses an invalid input, an invalid key, and a call within a step', async ({ lab }) => {
    const errors: unknown[] = []
    const { waybill } = await started(lab, async job => {
      const attempts = [
        () => job.submit(squares, { of: 'x' as unknown as number }),
        () => job.submit(squares, { of: 1 }, { key: 'a\0b' }),
        () => job.step('step', () => job.submit(squares, { of: 1 })),
        () => job.step('wait', () => job.all([{ id: 'a', key: 'b', result: async () => 1 }])),
      ]
      for (const attempt of attempts) errors.push(await attempt().then(String, String))
      return null
    })
    await waybill.drain()
    expect(errors).toEqual([
      expect.stringMatching(/The input of the child "squares" does not match the schema of "squares"\. \/of: /),
      expect.stringContaining('A child needs a key'),
      expect.stringContaining('was submitted within a step'),
      expect.stringContaining('was called within a step'),
    ])
  })

  test('causes one more attempt of the parent for each child in sequence', async ({ lab }) => {
    const run = async (job: Job) => {
      let sum = 0
      for (let of = 1; of <= 3; of++) sum += await (await job.submit(squares, { of })).result()
      return sum
    }
    const { waybill, parent } = await started(lab, run, slowly)
    await waybill.drain()
    expect(await parent.result()).toBe(14)
    expect((await parent.attempts()).at(-1)?.number).toBe(4)
  })
})

describe('the end of children', () => {
  test('wakes the parent once for many children', async ({ lab }) => {
    const COUNT = 300
    let runs = 0
    const { waybill, parent, store } = await started(lab, async job => {
      runs++
      const inputs = Array.from({ length: COUNT }, (_, of) => ({ of }))
      const children = await Promise.all(inputs.map(input => job.submit(squares, input)))
      return (await job.all(children)).reduce((sum, square) => sum + square, 0)
    })
    await waybill.drain()
    expect(await parent.result()).toBe(inSum(COUNT))
    expect(runs).toBe(2)
    expect(await store.countChildren(parent.id)).toMatchObject({ completed: COUNT, unfinished: 0 })
  })

  test('is an error that names a failed child, or a settled result', async ({ lab }) => {
    const seen: unknown[] = []
    const square = (of: number) => {
      if (of === 2) throw new ProblemError({ code: 'no-even-numbers', title: 'No even numbers', status: 422 })
      return of * of
    }
    const run = async (job: Job) => {
      const children = await Promise.all([1, 2, 3].map(of => job.submit(squares, { of })))
      seen.push(await job.allSettled(children))
      return await job.all(children)
    }
    const { waybill, parent } = await started(lab, run, square)
    await waybill.drain()
    const { status, error } = await parent.read()
    expect([status, error?.code]).toEqual(['failed', 'child-failed'])
    expect(error).toMatchObject({
      child: { operation: 'squares', status: 'failed', error: { code: 'no-even-numbers' } },
    })
    expect(seen.at(-1)).toMatchObject([
      { status: 'fulfilled', value: 1 },
      { status: 'rejected', reason: { problem: { code: 'child-failed' } } },
      { status: 'fulfilled', value: 9 },
    ])
  })

  test('loses a race to an earlier timer in every attempt', async ({ lab }) => {
    const winners: unknown[] = []
    const { waybill, parent } = await started(
      lab,
      async job => {
        const child = await job.submit(squares, { of: 2 })
        const first = await Promise.race([child.result(), job.sleep('minute', '1m').then(() => 'minute')])
        winners.push(first)
        await job.sleep('hour', '1h')
        return [first, await child.result()]
      },
      slowly,
    )
    await waybill.drain()
    expect(await parent.result()).toEqual(['minute', 4])
    expect(new Set(winners)).toEqual(new Set(['minute']))
  })

  test('is an error for a binary result', async ({ lab }) => {
    const errors: unknown[] = []
    const run = async (job: Job) => {
      const child = await job.submit(squares, { of: 1 })
      return await child.result().catch(error => errors.push(String(error)))
    }
    const blobs = folderBlobs({ path: `${lab.file()}-blobs` })
    const { waybill } = await started(lab, run, () => media('a', { type: 'text/plain' }), blobs)
    await waybill.drain()
    expect(errors).toEqual([expect.stringContaining('is not JSON but text/plain')])
  })
})

describe('the end of the parent', () => {
  const sleeping = async (of: number, job: Job) => {
    await job.sleep('long', '365d')
    return of
  }

  test('by a cancel cancels its children, except for detached ones', async ({ lab }) => {
    const run = async (job: Job) => {
      const inputs = Array.from({ length: 40 }, (_, of) => ({ of }))
      const children: Child[] = await Promise.all(inputs.map(input => job.submit(squares, input)))
      children.push(await job.submit(squares, { of: 99 }, { key: 'free', detached: true }))
      return await job.all(children)
    }
    const { waybill, parent, store } = await started(lab, run, sleeping)
    await until(async () => (await asleep(store)) === 42)
    const document = await waybill.waybill.operations.document(await parent.read(), LINKS)
    expect(document.waitingFor).toBe('It waits for operations that it has submitted: 0 of 41 have ended.')
    await parent.cancel()
    await until(async () => (await store.countChildren(parent.id)).canceled === 40)
    const [free] = await store.listChildren({ parent: parent.id, state: 'unfinished', limit: 10 })
    expect((await store.read(free ?? ''))?.tags).toEqual({ of: '99' })
    expect((await parent.read()).status).toBe('canceled')
    await until(async () => (await store.familyDue(10)).length === 0)
  })

  test('by a cancel cancels the children of its children, which are counted and reported', async ({ lab }) => {
    const sums = defineOperation({ name: 'sums' })
    const ended: string[] = []
    const handlers = [
      handler(parents, async (_, job) => void (await (await job.submit(sums, null)).result())),
      handler(sums, async (_, job) => void (await (await job.submit(squares, { of: 1 })).result())),
      handler(squares, async ({ of }, job) => await sleeping(of, job)),
    ]
    const waybill = await lab.waybill([parents, sums, squares], {
      worker: { handlers: handlers as never },
      onFinished: ({ type }) => ended.push(type),
    })
    const id = await submit(waybill, parents)
    await until(async () => (await asleep(waybill.store)) === 3)
    await waybill.operations.cancel(id, '')
    await until(() => ended.length === 3)
    expect(ended).toEqual(['parents', 'sums', 'squares'])
    for (const type of ended) {
      expect(await waybill.metrics.text()).toContain(
        `operations_finished_total{operation="${type}",outcome="canceled"} 1`,
      )
    }
    await until(async () => (await waybill.store.familyDue(10)).length === 0)
  })

  test('by its deadline cancels its children', async ({ lab }) => {
    const hurried = defineOperation({ name: 'hurried', deadline: '1h' })
    const handlers = [
      handler(hurried, async (_, job) => (await (await job.submit(squares, { of: 1 })).result()) as never),
      handler(squares, async ({ of }, job) => await sleeping(of, job)),
    ]
    const waybill = await testWaybill({ operations: [hurried, squares], handlers: handlers as never })
    lab.onEnd(() => waybill.close())
    const parent = await waybill.submit(hurried, null)
    const { store } = waybill.waybill
    await until(async () => (await asleep(store)) === 2)
    waybill.clock.advance(3_600_000)
    await until(async () => (await store.countChildren(parent.id)).canceled === 1)
    expect(await parent.read()).toMatchObject({ status: 'failed', error: { code: 'deadline-exceeded' } })
  })

  test('by a second failure keeps the completed children of both operations for the next retry', async ({ lab }) => {
    const broken = new Set([2, 3])
    const ran: number[] = []
    const run = async (job: Job) => {
      const children = await Promise.all([1, 2, 3].map(of => job.submit(squares, { of }, { key: `square-${of}` })))
      return await job.all(children)
    }
    const { waybill, parent, store } = await started(lab, run, of => {
      ran.push(of)
      if (broken.has(of)) throw new Error('Broken.')
      return of * of
    })
    const { operations } = waybill.waybill
    await waybill.drain()
    let last = parent.id
    for (const mended of [2, 3]) {
      broken.delete(mended)
      last = (await operations.retry(last, 'ann')).operation.id
      await waybill.drain()
    }
    expect(await store.readPayload(last, 'output')).toBe('[1,4,9]')
    expect(ran.filter(of => of === 1)).toEqual([1])
    expect(ran.filter(of => of === 2)).toEqual([2, 2])
    expect(ran.filter(of => of === 3)).toEqual([3, 3, 3])
  })

  test('by a failure keeps the completed children, and a retry submits only the others again', async ({ lab }) => {
    let isBroken = true
    const run = async (job: Job) => {
      const children = await Promise.all([1, 2].map(of => job.submit(squares, { of }, { key: `square-${of}` })))
      return await job.all(children)
    }
    const ran: number[] = []
    const { waybill, parent, store } = await started(lab, run, of => {
      ran.push(of)
      if (of === 2 && isBroken) throw new Error('Broken.')
      return of * of
    })
    await waybill.drain()
    expect((await parent.read()).status).toBe('failed')
    isBroken = false
    const { operation: retry } = await waybill.waybill.operations.retry(parent.id, 'ann')
    await waybill.drain()
    expect(await store.readPayload(retry.id, 'output')).toBe('[1,4]')
    expect(ran.sort()).toEqual([1, 2, 2])
    expect(await store.countChildren(retry.id)).toMatchObject({ completed: 1 })
  })
})

function inSum(count: number): number {
  return Array.from({ length: count }, (_, of) => of * of).reduce((sum, square) => sum + square, 0)
}

async function asleep(store: Awaited<ReturnType<typeof started>>['store']): Promise<number> {
  const { operations } = await store.browse({ status: 'pending', limit: 1000 })
  return operations.filter(isSuspended).length
}
