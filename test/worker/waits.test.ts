/** What a handler waits for, from the handler's side. */
import { Type } from 'typebox'
import { describe, expect } from 'vitest'
import { defineOperation, type Handler, handler, type Job, WaitTimeoutError } from 'waybill'
import { testWaybill } from 'waybill/testing'
import { z } from 'zod'
import { isSuspended } from '../../src/model/operation.ts'
import { NEVER_DUE } from '../../src/model/waits.ts'
import { worker } from '../support/children.ts'
import { play, plays } from '../support/handlers.ts'
import { hasFinished, logOf, recordOf, resultOf, submit, type TestContext, test, when } from '../support/waybill.ts'

const HOUR = 3_600_000
const naps = defineOperation({ name: 'naps', attempts: 1 })

/** A Waybill in memory with a handler, and one operation that has been drained once. */
async function started(lab: TestContext, run: (job: Job) => unknown) {
  const handlers: Handler = handler(naps, async (_, job) => await run(job))
  const waybill = await testWaybill({ operations: [naps], handlers })
  lab.onEnd(() => waybill.close())
  const operation = await waybill.submit(naps, null)
  const { store } = waybill.waybill
  const send = async (name: string, value: unknown) =>
    (await store.change(operation.id, { kind: 'event', name, value: JSON.stringify(value) })) !== undefined
  await waybill.drain()
  return { waybill, operation, send }
}

describe('sleep', () => {
  test('ends the attempt, and the handler runs again from its beginning after the time', async ({ lab }) => {
    const ran: string[] = []
    const { waybill, operation } = await started(lab, async job => {
      const first = await job.step('first', () => ran.push('first'))
      await job.sleep('a day', '1d')
      await job.sleep('until then', new Date(Date.now() + HOUR))
      return [first, await job.step('second', () => ran.push('second'))]
    })
    expect(await operation.result()).toEqual([1, 2])
    expect(ran).toEqual(['first', 'second'])
    expect((await operation.attempts()).map(({ outcome }) => outcome)).toEqual(['suspended', 'suspended', 'completed'])
    expect(waybill.clock.now()).toBeGreaterThanOrEqual((await operation.read()).createdAt + 24 * HOUR)
  })

  test('of less than a second holds the attempt', async ({ lab }) => {
    const { operation } = await started(lab, async job => {
      await job.sleep('blink', 20)
      return 'awake'
    })
    expect(await operation.result()).toBe('awake')
    expect(await operation.attempts()).toHaveLength(1)
  })

  test('with the same name several times is a separate wait each time, in the order of the calls', async ({ lab }) => {
    const { waybill, operation } = await started(lab, async job => {
      for (let day = 0; day < 3; day++) await job.sleep('day', '1d')
    })
    expect((await operation.read()).status).toBe('completed')
    expect(waybill.clock.now()).toBe((await operation.read()).createdAt + 72 * HOUR)
  })

  test('waits for a step that runs beside it', async ({ lab }) => {
    let ends = () => {}
    const ended = new Promise<void>(resolve => {
      ends = resolve
    })
    let runs = 0
    const { operation } = await started(lab, async job => {
      const step = job.step('beside', async () => {
        runs++
        setTimeout(ends, 20)
        await ended
        return 'done'
      })
      return (await Promise.all([step, job.sleep('hour', '1h')]))[0]
    })
    expect(await operation.result()).toBe('done')
    expect(runs).toBe(1)
  })

  test('is refused in a step, with an invalid name, and for an invalid time', async ({ lab }) => {
    const refusals: string[] = []
    const note = (error: Error) => void refusals.push(error.message)
    await started(lab, async job => {
      await job.step('outer', () => job.sleep('inner', '1h').catch(note))
      await job.sleep('', '1h').catch(note)
      await job.sleep('x', 'soon' as '1h').catch(note)
      await job.sleep('y', new Date(Number.NaN)).catch(note)
      await job.step('waybill:wait:x', () => 1).catch(note)
    })
    expect(refusals).toEqual([
      'The wait "inner" was called within a step. Call it beside the step: a step runs to its end.',
      'A wait needs a name of 1 to 200 characters, without NUL and halves of surrogate pairs.',
      'duration must be a number of milliseconds or a string such as "30s", from 0ms to 3650d, not "soon".',
      'job.sleep: the date must be valid, and within 10 years.',
      'The name of a step cannot begin with "waybill:".',
    ])
  })
})

describe('an event', () => {
  test('is awaited without a slot, and its value is returned as the schema parses it', async ({ lab }) => {
    const schema = z.object({ amount: z.number(), by: z.string().default('card') })
    const { waybill, operation, send } = await started(lab, job => job.event('paid', { schema }))
    const asleep = await operation.read()
    expect(isSuspended(asleep)).toBe(true)
    expect(asleep.runAt).toBe(NEVER_DUE)
    expect(asleep.waits?.open).toMatchObject([{ kind: 'event', name: 'paid', until: null, schema: { type: 'object' } }])
    expect(await send('paid', { amount: 3 })).toBe(true)
    await waybill.drain()
    expect(await operation.result()).toEqual({ amount: 3, by: 'card' })
  })

  test('that arrived before is available at once, and any JSON is a value', async ({ lab }) => {
    for (const value of [null, 0, false, 'x', [1]]) {
      const { waybill, operation, send } = await started(lab, async job => {
        await job.event('first')
        return await job.event('second')
      })
      expect(await send('second', value)).toBe(true)
      await waybill.drain()
      expect(isSuspended(await operation.read())).toBe(true)
      expect(await send('first', 1)).toBe(true)
      await waybill.drain()
      expect(await operation.result()).toEqual(value)
    }
  })

  test('that is invalid fails the operation if it arrived before the schema was known', async ({ lab }) => {
    const { waybill, operation, send } = await started(lab, async job => {
      await job.event('first')
      return await job.event('second', { schema: Type.Number() })
    })
    await send('second', 'none')
    await send('first', null)
    await waybill.drain()
    expect((await operation.read()).error).toMatchObject({ code: 'invalid-event', errors: [{ pointer: '' }] })
  })

  test('that does not arrive in time throws in the handler, and is refused from then on', async ({ lab }) => {
    const { waybill, operation, send } = await started(lab, async job => {
      try {
        return await job.ask('approval', { message: 'May it go?', timeout: '2h' })
      } catch (error) {
        if (!(error instanceof WaitTimeoutError)) throw error
        await job.event('after')
        return `nothing came for ${error.wait}`
      }
    })
    expect((await operation.read()).waits?.open).toMatchObject([{ kind: 'input', message: 'May it go?' }])
    waybill.clock.advance(2 * HOUR)
    expect(await send('approval', true)).toBe(false)
    await waybill.drain()
    expect(await send('after', true)).toBe(true)
    await waybill.drain()
    expect(await operation.result()).toBe('nothing came for approval')
  })

  test('that does not arrive in time fails a handler that does not catch the error', async ({ lab }) => {
    const { waybill, operation } = await started(lab, job => job.event('paid', { timeout: '1h' }))
    waybill.clock.advance(HOUR)
    await waybill.drain()
    expect((await operation.read()).error).toMatchObject({ status: 504, code: 'wait-timeout' })
  })

  test('races a sleep: the first one wins in every attempt', async ({ lab }) => {
    const { waybill, operation, send } = await started(lab, async job => {
      const won = await Promise.race([job.event('paid').then(() => 'paid'), job.sleep('hour', '1h').then(() => 'late')])
      await job.sleep('day', '1d')
      return won
    })
    expect(await send('paid', 1)).toBe(true)
    await waybill.drain()
    expect(await operation.result()).toBe('paid')
  })

  test('requires a schema that can be shown to clients', async ({ lab }) => {
    const hidden = { '~standard': { version: 1, vendor: 'x', validate: (value: unknown) => ({ value }) } } as const
    const { operation } = await started(lab, job => job.event('x', { schema: hidden }))
    expect((await operation.read()).error).toMatchObject({ code: 'operation-failed' })
  })
})

describe('in a child process', () => {
  test('a wait frees the process, and survives a restart of everything', async ({ lab }) => {
    const type = plays()
    const path = lab.file()
    const first = await lab.waybill([type], { ...worker(), store: await lab.store(path) })
    const id = await submit(first, type, play({ do: 'await-event' }))
    await when(first.store, id, isSuspended)
    expect(await resultOf(first.store, await submit(first, type, play({ do: 'return', value: 1 })))).toBe(1)
    await first.stop()

    const second = await lab.waybill([type], { ...worker(), store: await lab.store(path) })
    await second.store.change(id, { kind: 'event', name: 'go', value: '{"to":"sea"}' })
    expect(await resultOf(second.store, id)).toEqual([{ to: 'sea' }, 'kept'])
    expect((await logOf(second.store, id)).filter(line => line === 'began')).toHaveLength(2)
    const { attempt, released, history } = await recordOf(second.store, id)
    expect({ attempt, released }).toEqual({ attempt: 2, released: 1 })
    expect(history.map(({ outcome }) => outcome)).toEqual(['suspended', 'completed'])
    expect((await hasFinished(second.store, id)).status).toBe('completed')
  })
})

describe('a handler that another version of the program runs', () => {
  const kinds = {
    sleep: (job: Job) => job.sleep('x', '1h'),
    event: (job: Job) => job.event('x'),
  }
  for (const [was, is, said] of [
    ['sleep', 'event', 'The wait "x" was a sleep in an earlier attempt, and is an event now.'],
    ['event', 'sleep', 'The wait "x" was an event in an earlier attempt, and is a sleep now.'],
  ] as const) {
    test(`gets an error if the wait ${was} has become ${is}`, async ({ lab }) => {
      let version = 1
      const errors: unknown[] = []
      const { waybill, operation, send } = await started(lab, async job => {
        await kinds[version === 1 ? was : is](job).catch((error: Error) => errors.push(error.message))
        await job.event('go')
      })
      if (was === 'event') await send('x', 1)
      await waybill.drain()
      expect((await operation.read()).waits?.open).toMatchObject([{ name: 'go' }])
      version = 2
      await send('go', 1)
      await waybill.drain()
      await operation.result()
      expect(errors).toEqual([expect.stringContaining(said)])
    })
  }
})

describe('a retry', () => {
  test('does not wait again for events that have come and times that are over', async ({ lab }) => {
    let isBroken = true
    const { waybill, operation, send } = await started(lab, async job => {
      const paid = await job.event('paid')
      await job.sleep('a day', '1d')
      if (isBroken) throw new Error('It is broken.')
      return paid
    })
    await send('paid', 7)
    await waybill.drain()
    expect((await operation.read()).status).toBe('failed')
    isBroken = false
    const again = await waybill.waybill.operations.retry((await operation.read()).id, '')
    const now = waybill.clock.now()
    await waybill.drain()
    expect(await resultOf(waybill.waybill.store, again.operation.id)).toBe(7)
    expect(waybill.clock.now()).toBe(now)
  })

  test('waits again for an event that did not come in time', async ({ lab }) => {
    const { waybill, operation } = await started(lab, job => job.event('paid', { timeout: '1h' }))
    waybill.clock.advance(HOUR)
    await waybill.drain()
    expect((await operation.read()).status).toBe('failed')
    const { operations, store } = waybill.waybill
    const { id } = (await operations.retry((await operation.read()).id, '')).operation
    await operations.sendEvent(id, { name: 'paid', value: 7 })
    await waybill.drain()
    expect(await resultOf(store, id)).toBe(7)
  })
})
