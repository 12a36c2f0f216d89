import { describe, expect, test } from 'vitest'
import { fetchAndWait } from '../../src/client/client.ts'
import {
  type Answerer,
  accepted,
  errorOf,
  finished,
  POST,
  result,
  startScriptedServer as script,
} from '../support/article-server.ts'

describe("Azure's monitors", () => {
  const at =
    (status: string, more = {}): Answerer =>
    () => [200, { 'Retry-After': '0' }, { id: '1', status, ...more }]

  async function wait(final: Answerer, start: Record<string, string> = {}) {
    const { url } = await script({
      'POST /orders': () => [202, { 'Operation-Location': '/operations/1?api-version=1', ...start }],
      'GET /operations/1?api-version=1': [at('NotStarted'), at('Running', { percentComplete: 40 }), final],
      'GET /orders/1': result,
    })
    const statuses: unknown[] = []
    return { value: fetchAndWait(`${url}/orders`, POST, ({ status }) => statuses.push(status)), statuses }
  }

  test('lead to the resource that they name', async () => {
    const { value, statuses } = await wait(at('Succeeded', { resourceLocation: '/orders/1', result: { total: 3 } }))
    expect(await value).toMatchObject({ status: 'completed' })
    expect(statuses).toEqual(['NotStarted', 'Running', 'Succeeded'])
  })

  test('contain the result', async () => {
    const { value } = await wait(at('Succeeded', { result: { total: 3 } }))
    expect(await value).toEqual({ total: 3 })
  })

  test('are preferred to the Location, which is the URL of the result', async () => {
    const { value } = await wait(at('Succeeded'), { Location: '/orders/1' })
    expect(await value).toMatchObject({ status: 'completed' })
  })

  test('are the result if they name no resource', async () => {
    const { value } = await wait(at('Succeeded'))
    expect(await value).toEqual({ id: '1', status: 'Succeeded' })
  })

  test('report a failure', async () => {
    const { value } = await wait(at('Failed', { error: { code: 'OutOfStock', message: 'No apples' } }))
    const problem = { title: 'OutOfStock', detail: 'No apples', status: 500, code: 'OutOfStock' }
    const error = await errorOf(value)
    expect(error).toMatchObject({ code: 'failed', id: '1', problem })
    expect(error.message).toContain('No apples')
  })

  test.each(['Canceled', 'Cancelled'])('report a cancel as %s', async word => {
    const { value } = await wait(at(word))
    expect(await errorOf(value)).toMatchObject({ code: 'canceled' })
  })
})

describe('status URLs that answer 202', () => {
  const pending: Answerer = () => [202, { Location: '/status/1', 'Retry-After': '0', 'X-Progress': '40%' }]

  async function wait(...answers: Answerer[]) {
    const { url, seen } = await script({
      'POST /orders': accepted,
      'GET /status/1': [pending, ...answers],
    })
    return { value: fetchAndWait(`${url}/orders`, POST), seen }
  }

  test('answer with the result', async () => {
    const { value } = await wait(pending, result)
    expect(await value).toMatchObject({ status: 'completed' })
  })

  test('answer with a result that has a status of its own', async () => {
    const { value } = await wait(() => [200, {}, { status: 'shipped' }])
    expect(await value).toEqual({ status: 'shipped' })
  })

  test('answer with a result that is not JSON, or with none', async () => {
    const { value } = await wait(() => [200, { 'Content-Type': 'text/plain' }, 'done'])
    expect(await ((await value) as Response).text()).toBe('done')
    const { value: none } = await wait(() => [204])
    expect(await none).toBeUndefined()
  })

  test("answer with the failure's code", async () => {
    const { value } = await wait(() => [422, {}, { title: 'No such part', status: 422 }])
    expect(await errorOf(value)).toMatchObject({
      code: 'failed',
      problem: { title: 'No such part', status: 422 },
    })
  })

  test("answer with the failure's code and the operation, even 503 or 404", async () => {
    const error = { title: 'No paint', status: 503 }
    const { value } = await wait(() => [503, {}, { id: '1', status: 'failed', error }])
    expect(await errorOf(value)).toMatchObject({ code: 'failed', problem: error, id: '1' })
    const { value: other } = await wait(() => [404, {}, { id: '1', status: 'failed', error }])
    expect(await errorOf(other)).toMatchObject({ code: 'failed' })
  })

  test('answer 410 after a cancel, which rejects as canceled', async () => {
    const { value } = await wait(() => [410, {}, { id: '1', status: 'canceled', error: { title: 'Canceled' } }])
    expect(await errorOf(value)).toMatchObject({ code: 'canceled' })
  })

  test('fail the wait as polls do', async () => {
    const { value, seen } = await wait(() => [503, { 'Retry-After': '0' }], pending, result)
    expect(await value).toMatchObject({ status: 'completed' })
    expect(seen('GET /status/1')).toHaveLength(4)
  })

  test('may answer 500 again and again, which then counts as the failure', async () => {
    const { value } = await wait(() => [500, { 'Retry-After': '0' }, { title: 'Broken', status: 500 }])
    expect(await errorOf(value)).toMatchObject({ code: 'failed', problem: { title: 'Broken' } })
  })

  test('may change', async () => {
    const { url } = await script({
      'POST /orders': accepted,
      'GET /status/1': () => [202, { Location: '/status/2', 'Retry-After': '0' }],
      'GET /status/2': result,
    })
    expect(await fetchAndWait(`${url}/orders`, POST)).toMatchObject({ status: 'completed' })
  })
})

describe('status URLs that answer 200', () => {
  async function wait(...answers: Answerer[]) {
    const { url } = await script({
      'POST /orders': accepted,
      'GET /status/1': answers,
      'GET /orders/1': result,
    })
    return fetchAndWait(`${url}/orders`, POST)
  }

  test('are not final with an unknown status', async () => {
    const value = await wait(
      () => [200, { 'Retry-After': '0' }, { status: 'paused' }],
      () => [200, {}, { status: 'thinking' }],
      finished,
    )
    expect(value).toMatchObject({ status: 'completed' })
  })

  test('are not final while they have a Retry-After, whatever their body', async () => {
    const value = await wait(
      () => [200, { 'Retry-After': '0' }, { data: { attributes: { status: 'Pending' } } }],
      () => [200, { 'Retry-After': '0', 'Content-Type': 'text/plain' }, 'still at it'],
      finished,
    )
    expect(value).toMatchObject({ status: 'completed' })
  })

  test('may report the end in the body', async () => {
    expect(await wait(() => [200, {}, { status: 'completed', total: 3 }])).toEqual({ status: 'completed', total: 3 })
    const links = { result: '/orders/1' }
    expect(await wait(() => [200, {}, { status: 'completed', links }])).toMatchObject({ order: {} })
    const failed = wait(() => [200, {}, { status: 'failed', error: { title: 'No paint' } }])
    expect(await errorOf(failed)).toMatchObject({ code: 'failed', problem: { title: 'No paint' } })
  })
})
