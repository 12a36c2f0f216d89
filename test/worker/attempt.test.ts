import { expect } from 'vitest'
import { defineOperation, handler, ProblemError } from 'waybill'
import { z } from 'zod'
import { runAttempt } from '../../src/worker/attempt.ts'
import { type Host, StopError } from '../../src/worker/runners/runner.ts'
import { FIRST_ATTEMPT } from '../support/task.ts'
import { faultyStore, hasFinished, KeptLog, recordOf, resultOf, submit, test, until, when } from '../support/waybill.ts'

const tasks = defineOperation({ name: 'tasks', attempts: 3, backoff: { initial: 10, jitter: 0 } })

test('a handler gets the input, the id, the number of the attempt and the trace', async ({ lab }) => {
  const handlers = handler(tasks, (input, { id, attempt, traceparent }) => ({ input, id, attempt, traceparent }))
  const waybill = await lab.waybill([tasks], { worker: { handlers } })
  const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
  const id = await submit(waybill, tasks, { size: 3 }, { traceparent })
  expect(await resultOf(waybill.store, id)).toEqual({ input: { size: 3 }, id, attempt: 1, traceparent })
})

test('a handler that throws is retried with growing delays, and its operation fails with the last attempt', async ({
  lab,
}) => {
  const slow = defineOperation({ name: 'slow', attempts: 3, backoff: { initial: 100, factor: 3, jitter: 0 } })
  const logger = new KeptLog()
  const handlers = handler(slow, () => {
    throw new Error('a secret of the server')
  })
  const waybill = await lab.waybill([slow], { logger, worker: { handlers, pollInterval: 10 } })
  const { status, error, history, startedAt } = await hasFinished(waybill.store, await submit(waybill, slow))
  expect(status).toBe('failed')
  expect(error).toMatchObject({ code: 'operation-failed', status: 500 })
  expect(JSON.stringify([error, history])).not.toContain('secret')
  expect(history.map(({ number, outcome }) => [number, outcome])).toEqual([
    [1, 'failed'],
    [2, 'failed'],
    [3, 'failed'],
  ])
  const [first, second, third] = history
  expect(startedAt).toBe(first?.startedAt)
  expect((second?.startedAt ?? 0) - (first?.finishedAt ?? 0)).toBeGreaterThanOrEqual(100)
  expect((third?.startedAt ?? 0) - (second?.finishedAt ?? 0)).toBeGreaterThanOrEqual(300)
  expect(JSON.stringify(logger.lines)).toContain('a secret of the server')
})

test('a later attempt that succeeds completes the operation', async ({ lab }) => {
  const handlers = handler(tasks, (_, job) => {
    if (job.attempt < 3) throw new Error('not yet')
    return job.attempt
  })
  const waybill = await lab.waybill([tasks], { worker: { handlers } })
  const id = await submit(waybill, tasks)
  expect(await resultOf(waybill.store, id)).toBe(3)
  const { error, progress } = await recordOf(waybill.store, id)
  expect({ error, progress }).toEqual({ error: null, progress: null })
})

test('a ProblemError fails the operation with its problem, without a retry', async ({ lab }) => {
  const handlers = handler(tasks, () => {
    throw new ProblemError({
      status: 422,
      title: 'Out of stock',
      detail: 'No apples left.',
      code: 'out-of-stock',
      left: 0,
    })
  })
  const waybill = await lab.waybill([tasks], { worker: { handlers } })
  const { status, error, attempt } = await hasFinished(waybill.store, await submit(waybill, tasks))
  expect({ status, attempt }).toEqual({ status: 'failed', attempt: 1 })
  expect(error).toEqual({
    type: 'about:blank',
    status: 422,
    title: 'Out of stock',
    detail: 'No apples left.',
    code: 'out-of-stock',
    left: 0,
  })
})

test('a ProblemError with retryAfterMs is retried after that time, while attempts are left', async ({ lab }) => {
  const handlers = handler(tasks, () => {
    throw new ProblemError({ status: 503, title: 'The bank is closed' }, { retryAfter: 200 })
  })
  const waybill = await lab.waybill([tasks], { worker: { handlers, pollInterval: 10 } })
  const { status, error, history } = await hasFinished(waybill.store, await submit(waybill, tasks))
  expect({ status, title: error?.title, attempts: history.length }).toEqual({
    status: 'failed',
    title: 'The bank is closed',
    attempts: 3,
  })
  const [first, second] = history
  expect((second?.startedAt ?? 0) - (first?.finishedAt ?? 0)).toBeGreaterThanOrEqual(200)
})

test.for(['retryAfter', 'cause'] as const)('%s never reaches a client', name => {
  const init = { status: 503, title: 'The bank is closed', [name]: 300 }
  const right = `write new ProblemError({ … }, { ${name} })`
  expect(() => new ProblemError(init)).toThrow(new TypeError(`${name} does not belong to the problem: ${right}.`))
  // @ts-expect-error The compiler refuses it too.
  expect(() => new ProblemError({ status: 503, retryAfter: 300 })).toThrow(TypeError)
  // @ts-expect-error The same.
  expect(() => new ProblemError({ status: 503, cause: new Error('a secret') })).toThrow(TypeError)
})

test('an output that does not match the schema fails the operation with the errors', async ({ lab }) => {
  const typed = defineOperation({ name: 'typed', output: z.object({ total: z.number() }) })
  const handlers = handler(typed, () => ({ total: 'many' }) as unknown as { total: number })
  const waybill = await lab.waybill([typed], { worker: { handlers } })
  const { status, error, attempt } = await hasFinished(waybill.store, await submit(waybill, typed))
  expect({ status, attempt, code: error?.code }).toEqual({ status: 'failed', attempt: 1, code: 'invalid-output' })
  expect(error?.errors).toMatchObject([{ pointer: '/total' }])
})

test('a stored input that the schema no longer allows fails without the handler being called', async ({ lab }) => {
  const before = defineOperation({ name: 'moving', input: z.object({ old: z.string() }) })
  const after = defineOperation({ name: 'moving', input: z.object({ new: z.string() }) })
  const store = await lab.store()
  const id = await submit(lab.composition([before], { store }), before, { old: 'shape' })
  let called = false
  const handlers = handler(after, () => {
    called = true
  })
  await lab.waybill([after], { store, worker: { handlers } })
  const { status, error } = await hasFinished(store, id)
  expect({ status, code: error?.code, called }).toEqual({ status: 'failed', code: 'input-outdated', called: false })
  expect(error?.errors).toMatchObject([{ pointer: '/new' }])
})

test('input and output are what the schemas make of them', async ({ lab }) => {
  const input = z.object({ at: z.string().transform(text => text.toUpperCase()) })
  const shaped = defineOperation({
    name: 'shaped',
    input,
    output: z.object({ at: z.string(), note: z.string().default('none') }),
  })
  const waybill = await lab.waybill([shaped], { worker: { handlers: handler(shaped, value => ({ at: value.at })) } })
  const id = await submit(waybill, shaped, { at: 'noon' })
  expect(await resultOf(waybill.store, id)).toEqual({ at: 'NOON', note: 'none' })
  expect(await waybill.store.readPayload(id, 'input')).toBe('{"at":"noon"}')
})

test('an undefined output becomes null, and one that JSON refuses fails at once', async ({ lab }) => {
  const handlers = handler(tasks, input => {
    if (input === 'nothing') return undefined
    return 10n
  })
  const waybill = await lab.waybill([tasks], { worker: { handlers } })
  expect(await resultOf(waybill.store, await submit(waybill, tasks, 'nothing'))).toBe(null)
  const { status, error, attempt } = await hasFinished(waybill.store, await submit(waybill, tasks, 'bigint'))
  expect({ status, code: error?.code, attempt }).toEqual({ status: 'failed', code: 'invalid-output', attempt: 1 })
})

test('many progress calls in a short time cause few writes, and the last one counts', async ({ lab }) => {
  const { store, calls } = faultyStore(await lab.store())
  const open = Promise.withResolvers<void>()
  const handlers = handler(tasks, async (_, job) => {
    for (let call = 0; call <= 500; call++) job.progress(call / 1000, `call ${call}`)
    await open.promise
  })
  const waybill = await lab.waybill([tasks], { store, worker: { handlers } })
  const id = await submit(waybill, tasks)
  await when(store, id, ({ progress }) => progress?.message === 'call 500')
  expect((await recordOf(store, id)).progress).toEqual({ fraction: 0.5, message: 'call 500' })
  expect(calls.get('change')).toBeLessThanOrEqual(3)
  open.resolve()
  await hasFinished(store, id)
})

test('a progress is limited to the range from 0 to 1, and must be a number', async ({ lab }) => {
  const open = Promise.withResolvers<void>()
  const handlers = handler(tasks, async (_, job) => {
    expect(() => job.progress(Number.NaN)).toThrow(TypeError)
    job.progress(7, 'x'.repeat(1000))
    await open.promise
  })
  const waybill = await lab.waybill([tasks], { worker: { handlers } })
  const id = await submit(waybill, tasks)
  const { progress } = await when(waybill.store, id, operation => operation.progress !== null)
  expect(progress).toEqual({ fraction: 1, message: 'x'.repeat(500) })
  open.resolve()
  expect((await hasFinished(waybill.store, id)).status).toBe('completed')
})

test('log lines are stored in order with their attempt and level, with a limit on number and length', async ({
  lab,
}) => {
  const handlers = handler(tasks, (_, job) => {
    job.log('x'.repeat(10_000), 'warn')
    for (let line = 2; line <= 1100; line++) job.log(`line ${line}`)
  })
  const waybill = await lab.waybill([tasks], { worker: { handlers } })
  const id = await submit(waybill, tasks)
  await hasFinished(waybill.store, id)
  const lines = await waybill.operations.logs(id, '')
  expect(lines).toHaveLength(500)
  expect(lines[0]).toMatchObject({ sequence: 1, attempt: 1, level: 'warn', message: 'x'.repeat(8192) })
  expect(lines.slice(373, 376).map(({ message }) => message)).toEqual([
    'line 374',
    '601 log lines of this attempt were dropped here.',
    'line 976',
  ])
  expect(lines.at(-1)).toMatchObject({ sequence: 500, level: 'info', message: 'line 1100' })
})

test('a step runs once in an operation, and later attempts get its outcome', async ({ lab }) => {
  let charges = 0
  const handlers = handler(tasks, async (_, job) => {
    const charge = await job.step('charge', () => ({ number: ++charges, at: new Date(0) }))
    if (job.attempt < 3) throw new Error('after the charge')
    return charge
  })
  const waybill = await lab.waybill([tasks], { worker: { handlers } })
  const result = await resultOf(waybill.store, await submit(waybill, tasks))
  expect(result).toEqual({ number: 1, at: '1970-01-01T00:00:00.000Z' })
  expect(charges).toBe(1)
})

test('each use of a name is a separate step, also concurrently, in the order of the calls', async ({ lab }) => {
  const ran: string[] = []
  const handlers = handler(tasks, async (_, job) => {
    const step = (name: string) => job.step(name, () => ran.push(name))
    return await Promise.all([step('a'), step('b'), step('a')])
  })
  const waybill = await lab.waybill([tasks], { worker: { handlers } })
  const id = await submit(waybill, tasks)
  expect(await resultOf(waybill.store, id)).toEqual([1, 2, 3])
  expect([...(await waybill.store.steps(id)).keys()].sort()).toEqual(['a', 'a#2', 'b'])
})

test('a name in a loop is a separate step in each turn, and the same one in each attempt', async ({ lab }) => {
  const charged: string[] = []
  const handlers = handler(tasks, async (_, job) => {
    const receipts: unknown[] = []
    for (const card of ['one', 'two', 'three']) {
      receipts.push(await job.step('charge', () => charged.push(card)))
      if (job.attempt === 1 && card === 'two') throw new Error('after two of three')
    }
    return receipts
  })
  const waybill = await lab.waybill([tasks], { worker: { handlers } })
  const id = await submit(waybill, tasks)
  expect(await resultOf(waybill.store, id)).toEqual([1, 2, 3])
  expect(charged).toEqual(['one', 'two', 'three'])
})

test('a counted name never collides with an explicit one', async ({ lab }) => {
  const handlers = handler(tasks, async (_, job) => {
    const values: unknown[] = []
    for (const name of ['a', 'a#2', 'a', 'a#2']) values.push(await job.step(name, () => values.length))
    return values
  })
  const waybill = await lab.waybill([tasks], { worker: { handlers } })
  expect(await resultOf(waybill.store, await submit(waybill, tasks))).toEqual([0, 1, 2, 3])
})

test('a step within a step of the same name is refused at once', async ({ lab }) => {
  const handlers = handler(tasks, async (_, job) => {
    const inner = () => job.step('outer', () => 1)
    await expect(job.step('outer', () => job.step('between', inner))).rejects.toThrow('within a step "outer"')
    return await job.step('outer', () => job.step('inner', () => 2))
  })
  const waybill = await lab.waybill([tasks], { worker: { handlers } })
  expect(await resultOf(waybill.store, await submit(waybill, tasks))).toBe(2)
})

test('a failed step is not recorded, and the handler can repeat it', async ({ lab }) => {
  let tries = 0
  const handlers = handler(tasks, async (_, job) => {
    const work = () => {
      if (++tries < 2) throw new Error('not yet')
      return tries
    }
    await expect(job.step('shaky', work)).rejects.toThrow('not yet')
    return await job.step('shaky', work)
  })
  const waybill = await lab.waybill([tasks], { worker: { handlers } })
  expect(await resultOf(waybill.store, await submit(waybill, tasks))).toBe(2)
})

test('a step with an invalid name is refused', async ({ lab }) => {
  const handlers = handler(tasks, async (_, job) => {
    for (const name of ['', 'x'.repeat(201)]) await expect(job.step(name, () => 1)).rejects.toThrow(TypeError)
    return 'refused'
  })
  const waybill = await lab.waybill([tasks], { worker: { handlers } })
  expect(await resultOf(waybill.store, await submit(waybill, tasks))).toBe('refused')
})

test('a step that cannot be recorded rejects, so that the handler does not go on', async ({ lab }) => {
  const { store, cut } = faultyStore(await lab.store())
  let went = 0
  const handlers = handler(tasks, async (_, job) => {
    await job.step('charge', () => 1)
    went++
  })
  const waybill = await lab.waybill([tasks], { store, worker: { handlers } })
  cut.add('appendNote')
  const { status, attempt } = await hasFinished(store, await submit(waybill, tasks))
  expect({ status, attempt, went }).toEqual({ status: 'failed', attempt: 3, went: 0 })
})

test('a log line that cannot be stored has no other effect', async ({ lab }) => {
  const { store, cut, calls } = faultyStore(await lab.store())
  cut.add('appendNote')
  const handlers = handler(tasks, (_, job) => {
    job.log('lost')
    return 'done'
  })
  const waybill = await lab.waybill([tasks], { store, worker: { handlers } })
  expect(await resultOf(store, await submit(waybill, tasks))).toBe('done')
  await until(() => calls.get('appendNote') === 1)
})

test('a handler is not called if its attempt was stopped before it began', async () => {
  let calls = 0
  const counting = handler(tasks, () => calls++)
  const context = { host: {} as Host, signal: AbortSignal.abort(new StopError('CanceledError')) }
  expect(await runAttempt(counting, FIRST_ATTEMPT, context)).toMatchObject({ kind: 'canceled' })
  expect(calls).toBe(0)
})
