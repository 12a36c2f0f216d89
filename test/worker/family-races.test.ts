/** Children whose parent ends, or whose attempt goes on, at the worst moment. */
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect } from 'vitest'
import { defineOperation, handler, type Job } from 'waybill'
import { z } from 'zod'
import type { Operation } from '../../src/model/operation.ts'
import type { Store } from '../../src/stores/store.ts'
import { withTimeout } from '../../src/stores/with-timeout.ts'
import { newId } from '../../src/util/new-id.ts'
import { runAttempt } from '../../src/worker/attempt.ts'
import { childKey } from '../../src/worker/child-key.ts'
import { submitChildren } from '../../src/worker/family.ts'
import { followUp } from '../../src/worker/family-outbox.ts'
import type { Host } from '../../src/worker/runners/runner.ts'
import { QUIET_HOST } from '../support/quiet-host.ts'
import { submissionOf } from '../support/submission.ts'
import { FIRST_ATTEMPT } from '../support/task.ts'
import { hasFinished, hasStatus, recordOf, submit, type TestContext, test, until } from '../support/waybill.ts'

const parents = defineOperation({ name: 'parents', attempts: 1 })
const squares = defineOperation({ name: 'squares', input: z.object({ of: z.number() }), output: z.number() })

const TASK = { ...FIRST_ATTEMPT, id: newId(), type: parents.name }

/** A parent that runs, in a store of its own. */
async function running(lab: TestContext) {
  const store = await lab.store()
  const submission = submissionOf(newId(), { type: parents.name })
  await store.accept(submission)
  const from = { types: [{ type: parents.name, limit: 1 }], limit: 1 }
  await store.claim({ holder: 'test', leaseMs: 60_000, execution: null, from })
  return { store, lease: { id: submission.id, attempt: 1 } }
}

function childOf(parent: string, key: string, detached: boolean = false) {
  return submissionOf(newId(), { type: squares.name, idempotencyKey: childKey(parent, key, detached) })
}

describe('a parent', () => {
  test('that ends while it submits children leaves none behind', async ({ lab }) => {
    const { store, lease } = await running(lab)
    const late = {
      ...withTimeout(store, 60_000),
      accept: async (child: Parameters<typeof store.accept>[0]) => {
        // All that its end asks for has been done before the first child comes.
        const outcome = {
          kind: 'failed',
          problem: { code: 'x', title: 'x', status: 422, type: 'about:blank' },
        } as const
        const ended = await store.change(lease.id, { kind: 'finish', attempt: 1, outcome })
        if (ended !== undefined) await followUp(store, [ended])
        return await store.accept(child)
      },
    }
    const [free, one, two] = [childOf(lease.id, 'free', true), childOf(lease.id, 'one'), childOf(lease.id, 'two')]
    expect(await submitChildren(late, lease, [free, one, two])).toBeUndefined()
    const status = async ({ id }: { id: string }) => (await recordOf(store, id)).status
    expect([await status(free), await status(one), await status(two)]).toEqual(['pending', 'canceled', 'canceled'])
  })

  test('that ended after its process died during a submit has its late child canceled', async ({ lab }) => {
    const { store, lease } = await running(lab)
    await store.change(lease.id, { kind: 'has-children', attempt: 1 })
    const problem = { code: 'x', title: 'x', status: 422, type: 'about:blank' }
    const ended = await store.change(lease.id, {
      kind: 'finish',
      attempt: 1,
      outcome: { kind: 'failed', problem },
    })
    await followUp(store, ended === undefined ? [] : [ended])
    const [late, free] = [childOf(lease.id, 'late'), childOf(lease.id, 'free', true)]
    for (const child of [late, free]) await store.accept({ ...child, input: '{"of":1}', parent: lease.id })
    const run = handler(squares, async (_, { id, signal }) => {
      if (id === free.id) return 1
      return await sleep(600_000, 2, { signal })
    })
    await lab.waybill([parents, squares], { store, worker: { handlers: run } })
    await hasStatus(store, late.id, 'canceled')
    await hasStatus(store, free.id, 'completed')
    await until(async () => (await store.familyDue(10)).length === 0)
  })

  test('whose attempt was lost accepts no child of that attempt', async ({ lab }) => {
    const { store, lease } = await running(lab)
    await store.change(lease.id, { kind: 'abandon', attempt: 1, reason: 'Test.' })
    expect(await submitChildren(store, lease, [childOf(lease.id, 'one')])).toBeUndefined()
    expect(await store.countChildren(lease.id)).toMatchObject({ unfinished: 0 })
  })

  test('whose execution is being started is not started again when its children end', async ({ lab }) => {
    const { store, lease } = await running(lab)
    await store.change(lease.id, { kind: 'has-children', attempt: 1 })
    const waits = [
      { kind: 'time', name: 'moment', withinMs: 0 },
      { kind: 'children', name: 'all', withinMs: null, left: 0, told: 0 },
    ] as const
    await store.change(lease.id, { kind: 'finish', attempt: 1, outcome: { kind: 'suspended', waits } })
    const launch = { types: [parents.name], limit: 1, holdMs: 60_000 }
    await until(async () => (await store.reserveForLaunch(launch)).length === 1)
    const { runAt } = await recordOf(store, lease.id)
    await store.change(lease.id, { kind: 'children-ended', unfinished: 0, told: 0 })
    expect(await recordOf(store, lease.id)).toMatchObject({ runAt, launches: 1, waits: { children: { told: 1 } } })
    expect(await store.reserveForLaunch(launch)).toEqual([])
  })

  test('is not told an older count after a newer one', async ({ lab }) => {
    const { store, lease } = await running(lab)
    const [one, two] = [childOf(lease.id, 'one'), childOf(lease.id, 'two')]
    await submitChildren(store, lease, [one, two])
    const slow = {
      ...withTimeout(store, 60_000),
      // The process stalls after its count, until another one has reported that no child is left.
      countChildren: async (parent: string) => {
        const counts = await store.countChildren(parent)
        if (counts.unfinished > 0) await followUp(store, await canceled(store, two))
        return counts
      },
    }
    await followUp(slow, await canceled(store, one))
    // The attempt has looked before the first child ended.
    const waits = [{ kind: 'children', name: 'all', withinMs: null, left: 0, told: 0 }] as const
    await store.change(lease.id, { kind: 'finish', attempt: 1, outcome: { kind: 'suspended', waits } })
    expect(await recordOf(store, lease.id)).toMatchObject({ status: 'pending', runAt: null })
  })

  test('that others tell each time while its children are counted is told no more', async ({ lab }) => {
    const { store, lease } = await running(lab)
    const first = childOf(lease.id, 'first')
    const others = ['one', 'two', 'three'].map(key => childOf(lease.id, key))
    await submitChildren(store, lease, [first, ...others])
    const slow = {
      ...withTimeout(store, 60_000),
      countChildren: async (parent: string) => {
        const counts = await store.countChildren(parent)
        const other = others.shift()
        if (other !== undefined) await followUp(store, await canceled(store, other))
        return counts
      },
    }
    await followUp(slow, await canceled(store, first))
    const { waits } = await recordOf(store, lease.id)
    expect(waits?.children).toEqual({ told: 3, unfinished: 0 })
    expect(await store.familyDue(10)).toEqual([])
  })

  test('whose report fails does not block other reports, and stays due', async ({ lab }) => {
    const { store, lease } = await running(lab)
    const problem = { code: 'x', title: 'x', status: 409, type: 'about:blank' }
    await store.change(lease.id, { kind: 'has-children', attempt: 1 })
    await store.change(lease.id, { kind: 'finish', attempt: 1, outcome: { kind: 'canceled', problem } })
    const other = submissionOf(newId(), { type: parents.name })
    await store.accept(other)
    const child = { ...childOf(other.id, 'one'), parent: other.id }
    await store.accept(child)
    await store.change(child.id, { kind: 'cancel' })
    const broken = { ...withTimeout(store, 60_000), steps: async () => Promise.reject(new Error('It is unreadable.')) }
    await expect(followUp(broken, await store.familyDue(10))).rejects.toThrow('It is unreadable.')
    expect((await store.familyDue(10)).map(({ id }) => id)).toEqual([lease.id])
    await followUp(store, await store.familyDue(10))
    expect(await store.familyDue(10)).toEqual([])
  })

  test('that is deleted before its end was handled cancels all children except for detached ones', async ({ lab }) => {
    const { store, lease } = await running(lab)
    const [free, one] = [childOf(lease.id, 'free', true), childOf(lease.id, 'one')]
    expect(await submitChildren(store, lease, [free, one])).toEqual([free.id, one.id])
    const outcome = { kind: 'canceled', problem: { code: 'x', title: 'x', status: 409, type: 'about:blank' } } as const
    await store.change(lease.id, { kind: 'finish', attempt: 1, outcome })
    await store.purge(lease.id)
    await followUp(store, await store.familyDue(10))
    expect((await recordOf(store, one.id)).status).toBe('canceled')
    expect((await recordOf(store, free.id)).status).toBe('pending')
    expect(await store.listChildren({ parent: lease.id, state: 'unfinished', limit: 10 })).toEqual([free.id])
  })
})

describe('a handler', () => {
  /** Runs one attempt on a worker of the test's own. */
  async function attempt(run: (job: Job) => unknown, host: Partial<Host>) {
    const signal = new AbortController().signal
    return await runAttempt(
      handler(parents, async (_, job) => (await run(job)) as never),
      TASK,
      { host: { ...QUIET_HOST, ...host }, signal },
    )
  }

  test('that submits a refused child again uses the same key', async ({ lab }) => {
    const keys: string[] = []
    const run = async (job: Job) => {
      await job.submit(squares, { of: 'two' as unknown as number }).catch(() => {})
      keys.push((await job.submit(squares, { of: 2 })).key, (await job.submit(squares, { of: 3 })).key)
    }
    const waybill = await lab.waybill([parents, squares], {
      worker: { handlers: handler(parents, async (_, job) => void (await run(job))) },
    })
    await hasStatus(waybill.store, await submit(waybill, parents), 'completed')
    expect(keys).toEqual(['squares', 'squares#2'])
  })

  test('continues with its other waits if children cannot be read', async () => {
    let reads = 0
    let ids: readonly string[] = []
    const outcome = await attempt(
      async job => {
        const child = await job.submit(squares, { of: 2 })
        const seen = child.result().catch(String)
        await Promise.all([seen, job.sleep('hour', '1h')])
      },
      {
        family: async () => {
          if (++reads > 1) throw new Error('It is away.')
          return { unfinished: ids, told: 0 }
        },
        submit: async children => {
          ids = children.map(({ id }) => id)
          return ids
        },
      },
    )
    expect(outcome).toMatchObject({ kind: 'suspended', waits: [{ kind: 'time', name: 'hour' }] })
    expect(reads).toBe(2)
  })

  test('is not suspended by the loser of a race while it reads the results of a child', async () => {
    let reading = 0
    let most = 0
    const outcome = await attempt(
      async job => {
        const children = await Promise.all(Array.from({ length: 100 }, (_, of) => job.submit(squares, { of })))
        return await Promise.race([job.all(children), job.sleep('hour', '1h')])
      },
      {
        childEnds: async ids => ids.map(() => ({ status: 'completed', at: 1 })),
        childOutput: async () => {
          most = Math.max(most, ++reading)
          for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate)
          reading--
          return '4'
        },
      },
    )
    expect(outcome).toMatchObject({ kind: 'completed', output: JSON.stringify(Array.from({ length: 100 }, () => 4)) })
    expect(most).toBeLessThanOrEqual(32)
  })

  test('counts children that it submits directly before it is suspended', async () => {
    const gate = Promise.withResolvers<void>()
    let reads = 0
    let ids: readonly string[] = []
    const outcome = await attempt(
      async job => {
        const awaited = await job.submit(squares, { of: 2 })
        const further = gate.promise.then(() => job.submit(squares, { of: 3 }))
        await Promise.all([job.all([awaited]), further])
      },
      {
        submit: async children => {
          ids = [...ids, ...children.map(({ id }) => id)]
          return children.map(({ id }) => id)
        },
        family: async () => {
          const family = { unfinished: ids, told: 0 }
          if (++reads === 2) {
            gate.resolve()
            while (ids.length < 2) await new Promise(setImmediate)
          }
          return family
        },
      },
    )
    expect(outcome).toMatchObject({ kind: 'suspended', waits: [{ kind: 'children', name: 'all', left: 1 }] })
  })
})

test('a deleted child still has its final status', async ({ lab }) => {
  const seen: unknown[] = []
  const handlers = [
    handler(squares, ({ of }) => of * of),
    handler(parents, async (_, job) => {
      const child = await job.submit(squares, { of: 2 })
      if ((await recordOf(waybill.store, child.id)).status === 'completed') await waybill.store.purge(child.id)
      seen.push(await job.allSettled([child]))
      return null as never
    }),
  ]
  const waybill = await lab.waybill([parents, squares], { worker: { handlers } })
  const parent: Operation = await hasFinished(waybill.store, await submit(waybill, parents))
  expect(parent.status).toBe('completed')
  expect(seen.at(-1)).toMatchObject([
    {
      reason: {
        problem: {
          code: 'child-failed',
          detail: expect.stringContaining('no longer kept'),
          child: { status: 'completed' },
        },
      },
    },
  ])
})

/** Cancels a child, and gives what has ended by that. */
async function canceled(store: Store, { id }: { readonly id: string }): Promise<readonly Operation[]> {
  await store.change(id, { kind: 'cancel' })
  return [await recordOf(store, id)]
}
