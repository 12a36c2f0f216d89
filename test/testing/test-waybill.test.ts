import { describe, expect, test } from 'vitest'
import { defineOperation, handler, ProblemError } from 'waybill'
import { testWaybill } from 'waybill/testing'
import { fetchHandler } from 'waybill/web'
import { toSubmission } from '../../src/model/submit-request.ts'
import { SESSION_TYPE } from '../../src/operator/internal-types.ts'

const greet = defineOperation({
  name: 'greet',
  input: { type: 'object', required: ['name'], properties: { name: { type: 'string' } } },
  output: { type: 'object', required: ['text'], properties: { text: { type: 'string' } } },
  attempts: 3,
  backoff: { initial: '1h', factor: 2, jitter: 0, max: '1d' },
})
const ADA = { name: 'Ada' }
const HOUR = 3_600_000

test('a submitted operation has its result after a drain', async () => {
  await using lab = await testWaybill({
    operations: [greet],
    handlers: handler(greet, ({ name }) => ({ text: `Hello, ${name}!` })),
  })
  const order = await lab.submit(greet, ADA)
  expect((await order.read()).status).not.toBe('failed')
  await lab.drain()
  expect(await order.result()).toEqual({ text: 'Hello, Ada!' })
  expect((await order.read()).createdAt).toBe(lab.clock.now())
})

test('retries use the test clock, and take no real time', async () => {
  await using lab = await testWaybill({
    operations: [greet],
    handlers: handler(greet, (_, job) => {
      job.log(`attempt ${job.attempt}`)
      if (job.attempt < 3) throw new Error('It is away.')
      return { text: 'there' }
    }),
  })
  const began = lab.clock.now()
  const order = await lab.submit(greet, ADA)
  await lab.drain()
  expect(await order.result()).toEqual({ text: 'there' })
  expect((await order.attempts()).map(({ outcome }) => outcome)).toEqual(['failed', 'failed', 'completed'])
  expect(lab.clock.now() - began).toBe(3 * HOUR)
  expect((await order.logs()).map(({ message }) => message)).toContain('attempt 3')
})

test('a delay and a deadline use the test clock', async () => {
  await using lab = await testWaybill({ operations: [greet], handlers: handler(greet, () => ({ text: '' })) })
  const began = lab.clock.now()
  const order = await lab.submit(greet, ADA, { delay: 5 * HOUR })
  await lab.drain()
  expect((await order.read()).startedAt).toBe(began + 5 * HOUR)
})

test('a failure and a cancel reject the result with their problem', async () => {
  await using lab = await testWaybill({
    operations: [greet],
    handlers: handler(greet, () => {
      throw new ProblemError({ status: 402, title: 'It costs' })
    }),
  })
  const failing = await lab.submit(greet, ADA)
  const canceled = await lab.submit(greet, ADA, { delay: HOUR })
  await expect(canceled.result()).rejects.toThrow('call drain() first')
  await canceled.cancel()
  await lab.drain()
  await expect(failing.result()).rejects.toMatchObject({ problem: { status: 402, title: 'It costs' } })
  await expect(canceled.result()).rejects.toMatchObject({ problem: { code: 'operation-canceled' } })
})

test('an unreachable store fails the call and loses nothing', async () => {
  await using lab = await testWaybill({ operations: [greet], handlers: handler(greet, () => ({ text: 'done' })) })
  lab.failStore('accept')
  await expect(lab.submit(greet, ADA)).rejects.toMatchObject({ problem: { code: 'unavailable' } })
  lab.failStore('change')
  const order = await lab.submit(greet, ADA)
  await lab.drain()
  expect(await order.result()).toEqual({ text: 'done' })
})

test('an attempt whose process dies is lost: its steps stay, and its later calls are refused', async () => {
  const [began, go] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const charges: number[] = []
  await using lab = await testWaybill({
    operations: [greet],
    handlers: handler(greet, async (_, job) => {
      const charge = await job.step('charge', () => charges.push(job.attempt))
      began.resolve()
      if (job.attempt === 1) await go.promise
      return { text: `charge ${charge}, attempt ${job.attempt}` }
    }),
  })
  const order = await lab.submit(greet, ADA)
  await began.promise
  await order.loseAttempt()
  await lab.drain()
  go.resolve()
  expect(await order.result()).toEqual({ text: 'charge 1, attempt 2' })
  expect((await order.attempts()).map(({ outcome }) => outcome)).toEqual(['lost', 'completed'])
  expect(await order.steps()).toEqual({ charge: 1 })
  expect(charges).toEqual([1])
  await expect(order.loseAttempt()).rejects.toThrow('The operation is completed: no attempt runs')
})

test('a start deadline passes with the test clock', async () => {
  const patient = defineOperation({ name: 'patient', input: {}, startDeadline: '1h' })
  await using lab = await testWaybill({ operations: [patient] })
  const order = await lab.submit(patient, {})
  await expect(lab.drain()).rejects.toThrow('give testWaybill() the option "handlers"')
  lab.clock.advance(HOUR + 1)
  await expect.poll(async () => (await order.read()).status).toBe('failed')
  await expect(order.result()).rejects.toMatchObject({ problem: { code: 'start-deadline' } })
})

test('a server can use it', async () => {
  await using lab = await testWaybill({ operations: [greet], handlers: handler(greet, () => ({ text: 'over HTTP' })) })
  const answer = fetchHandler(lab.waybill)
  const body = JSON.stringify(ADA)
  const headers = { 'content-type': 'application/json' }
  const accepted = await answer(new Request('http://test/greet', { method: 'POST', headers, body }))
  expect(accepted.status).toBe(202)
  await lab.drain()
  const status = await answer(new Request(new URL(accepted.headers.get('location') ?? '', 'http://test')))
  expect(status.status).toBe(303)
})

test('invalid options are refused with their names', async () => {
  await expect(testWaybill({ operations: [greet], handler: 1 } as never)).rejects.toThrow('handler')
})

describe('drain', () => {
  const parts = defineOperation({ name: 'parts', attempts: 2, backoff: { initial: '5s', max: '5s' } })
  const wholes = defineOperation({ name: 'wholes', deadline: '30d' })

  const assemble = handler(wholes, async (_, job) => {
    const children = await Promise.all([1, 2, 3].map(n => job.submit(parts, n, { key: `${n}` })))
    return await job.all(children)
  })

  test('does not count a parent as overdue while its children run', async () => {
    const make = handler(parts, (n, job) => {
      if (job.attempt === 1) throw new Error('Not yet.')
      return n
    })
    await using lab = await testWaybill({ operations: [wholes, parts], handlers: [assemble, make] })
    const began = lab.clock.now()
    const whole = await lab.submit(wholes, null)
    await lab.drain()
    expect(await whole.result()).toEqual([1, 2, 3])
    expect(lab.clock.now() - began).toBeLessThan(60_000)
  })

  test('ends if children wait for an event, or if a type is paused', async () => {
    const ask = handler(parts, async (_, job) => await job.event('made'))
    await using lab = await testWaybill({ operations: [wholes, parts], handlers: [assemble, ask] })
    const whole = await lab.submit(wholes, null)
    await lab.drain()
    const { operator } = lab.waybill
    const { items } = await operator.children(whole.id, 'unfinished')
    expect(items).toHaveLength(3)
    for (const { id } of items) await operator.sendEvent(id, { name: 'made', value: 1 }, { name: 'ann' })
    await lab.drain()
    expect(await whole.result()).toEqual([1, 1, 1])
    await operator.pause('wholes', { name: 'ann' })
    const paused = await lab.submit(wholes, null)
    await lab.drain()
    expect(await paused.read()).toMatchObject({ status: 'pending', attempt: 0 })
  })

  test('does not move the clock to the end of the session of an agent', async () => {
    await using lab = await testWaybill({ operations: [greet], handlers: handler(greet, () => ({ text: 'Hello' })) })
    const session = toSubmission(defineOperation({ name: SESSION_TYPE }), { input: null, owner: '', delay: '7d' }, null)
    await lab.waybill.store.accept(session)
    const began = lab.clock.now()
    await lab.submit(greet, ADA)
    await lab.drain()
    expect(lab.clock.now() - began).toBeLessThan(HOUR)
  })
})

test('an unknown call of the store cannot be made to fail', async () => {
  await using lab = await testWaybill({ operations: [greet] })
  expect(() => lab.failStore('chnage' as never)).toThrow('the call is one of accept, read, claim')
})
