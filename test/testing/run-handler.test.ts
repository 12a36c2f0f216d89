import { expect, test } from 'vitest'
import { defineOperation, handler, media, ProblemError } from 'waybill'
import { runHandler } from 'waybill/testing'

const greet = defineOperation({
  name: 'greet',
  input: { type: 'object', required: ['name'], properties: { name: { type: 'string' } } },
  output: { type: 'object', required: ['text'], properties: { text: { type: 'string' } } },
  backoff: { initial: '2s', jitter: 0 },
})

const ADA = { name: 'Ada' }

test('the output is the return value as clients get it', async () => {
  const run = await runHandler(
    handler(greet, ({ name }) => ({ text: `Hello, ${name}!`, left: undefined })),
    ADA,
  )
  expect(run).toMatchObject({ outcome: 'completed', output: { text: 'Hello, Ada!' }, problem: undefined, log: [] })
  expect(Object.keys(run.output ?? {})).toEqual(['text'])
})

test('an input that no client could submit is rejected, and the handler does not run', async () => {
  let runs = 0
  const never = handler(greet, () => ({ text: `${++runs}` }))
  const run = await runHandler(never, { name: 1 as unknown as string })
  expect(run.outcome).toBe('rejected')
  expect(run.problem).toMatchObject({ code: 'invalid-input', errors: [{ pointer: '/name' }] })
  expect(runs).toBe(0)
})

test('an output that the schema refuses fails', async () => {
  const run = await runHandler(
    handler(greet, () => ({ text: 1 as unknown as string })),
    ADA,
  )
  expect(run).toMatchObject({ outcome: 'failed', output: undefined, problem: { code: 'invalid-output' } })
})

test('an error of a handler gives the problem, and whether another attempt follows', async () => {
  const refusing = handler(greet, () => {
    throw new ProblemError({ status: 409, title: 'Already greeted' })
  })
  const failed = await runHandler(refusing, ADA)
  expect(failed).toMatchObject({ outcome: 'failed', problem: { status: 409, title: 'Already greeted' } })
  expect(failed.error).toBeUndefined()

  const broken = handler(greet, () => {
    throw new TypeError('It is broken.')
  })
  const first = await runHandler(broken, ADA)
  const third = await runHandler(broken, ADA, { attempt: 3 })
  expect(first).toMatchObject({
    outcome: 'retry',
    retryDelayMs: 2000,
    error: { name: 'TypeError', message: 'It is broken.' },
  })
  expect(third.retryDelayMs).toBe(8000)
})

test('steps of earlier attempts are not run again', async () => {
  const charged: string[] = []
  const charging = handler(greet, async ({ name }, job) => {
    const id = await job.step('charge', () => `charge-${charged.push(name)}`)
    const sent = await job.step('send', () => `${id} of attempt ${job.attempt}`)
    return { text: sent }
  })
  const run = await runHandler(charging, ADA, { attempt: 2, steps: { charge: 'charge-0' } })
  expect(run.output).toEqual({ text: 'charge-0 of attempt 2' })
  expect(run.steps).toEqual({ charge: 'charge-0', send: 'charge-0 of attempt 2' })
  expect(charged).toEqual([])
})

test('progress and log lines are reported', async () => {
  const run = await runHandler(
    handler(greet, (_, job) => {
      job.progress(0.5, 'half')
      job.log('It begins.')
      job.log('It is slow.', 'warn')
      return { text: '' }
    }),
    ADA,
  )
  expect(run.progress).toEqual([{ fraction: 0.5, message: 'half' }])
  expect(run.log).toEqual([
    { level: 'info', message: 'It begins.' },
    { level: 'warn', message: 'It is slow.' },
  ])
})

test('a signal cancels', async () => {
  const controller = new AbortController()
  const waiting = handler(greet, async (_, job) => {
    controller.abort()
    job.signal.throwIfAborted()
    return { text: '' }
  })
  const run = await runHandler(waiting, ADA, { signal: controller.signal })
  expect(run).toMatchObject({ outcome: 'canceled', problem: { code: 'operation-canceled' } })
})

test('a binary result has its bytes', async () => {
  const print = handler(defineOperation({ name: 'print' }), () => media('%PDF', { type: 'application/pdf' }))
  const run = await runHandler(print, null)
  expect(run.outcome).toBe('completed')
  expect(run.media).toEqual({ type: 'application/pdf', filename: undefined, bytes: Buffer.from('%PDF') })
})

test('children are listed, and their results can be provided', async () => {
  const parent = handler(defineOperation({ name: 'parent' }), async (_, job) => {
    const ada = await job.submit(greet, { name: 'Ada' })
    const bob = await job.submit(greet, { name: 'Bob' }, { key: 'bob', detached: true })
    return (await job.all([ada, bob])).map(({ text }) => text) as never
  })
  const first = await runHandler(parent, null)
  expect(first.outcome).toBe('suspended')
  expect(first.children).toMatchObject([
    { key: 'greet', type: 'greet', input: { name: 'Ada' } },
    { key: 'bob', type: 'greet', input: { name: 'Bob' } },
  ])
  expect(first.waits).toMatchObject([{ kind: 'children', name: 'all' }])
  const children = { greet: { text: 'Hi, Ada' }, bob: { text: 'Hi, Bob' } }
  expect(await runHandler(parent, null, { attempt: 2, children })).toMatchObject({
    outcome: 'completed',
    output: ['Hi, Ada', 'Hi, Bob'],
  })
})

test('invalid options are refused with their names', async () => {
  const any = handler(greet, () => ({ text: '' }))
  await expect(runHandler(any, ADA, { attempt: 0 })).rejects.toThrow('attempt')
  await expect(runHandler(any, ADA, { atempt: 1 } as object)).rejects.toThrow('atempt')
})
