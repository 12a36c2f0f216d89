/** An operation that waits, as clients see it, and the events that they send. */
import { describe, expect } from 'vitest'
import { defineOperation, handler, type Job } from 'waybill'
import { isSuspended } from '../../src/model/operation.ts'
import type { StatusDocument } from '../../src/model/protocol.ts'
import { type Api, SERVERS, type ServerOptions } from '../support/servers.ts'
import { hasFinished, resultOf, submit, type TestContext, test, when } from '../support/waybill.ts'

const BOOLEAN = { type: 'boolean' } as const
const orders = defineOperation({
  name: 'orders',
  mayAnswer: (caller, { owner, name }) => caller === `${owner}'s boss` && name === 'approval',
})

const ask = (job: Job) => job.ask('approval', { message: 'May it go?', schema: BOOLEAN, timeout: '2h' })

describe.each(Object.entries(SERVERS))('over %s', (_, serve) => {
  async function asking(lab: TestContext, run: (job: Job) => unknown = ask, options: ServerOptions = {}) {
    const handlers = handler(orders, async (_, job) => await run(job))
    const worker = { handlers, publicUrl: 'https://api.example.com/v1/' }
    const waybill = await lab.waybill([orders], { worker })
    const api = await serve(lab, waybill, { byHeader: true, ...options })
    const id = await submit(waybill, orders, null, { owner: 'ann' })
    await when(waybill.store, id, isSuspended)
    const path = (name: string) => `/operations/${id}/events/${encodeURIComponent(name)}`
    return { waybill, api, id, path }
  }

  const send = async (api: Api, path: string, body: unknown, user = 'ann') =>
    await api.ask(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-user': user },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    })

  test('the status shows the question, and the answer resumes the handler', async ({ lab }) => {
    const { waybill, api, id, path } = await asking(lab)
    const headers = { 'x-user': 'ann' }
    const status = (await (await api.ask(`/orders/status/${id}`, { headers })).json()) as StatusDocument
    expect(status).toMatchObject({ status: 'pending', attempt: 0, waitingFor: 'It waits for an answer to "approval".' })
    const wait = { kind: 'input', name: 'approval', message: 'May it go?', schema: BOOLEAN, url: path('approval') }
    expect(status.waits).toEqual([{ ...wait, until: status.waits?.[0]?.until }])
    expect(Date.parse(status.waits?.[0]?.until ?? '') - Date.parse(status.updatedAt)).toBe(2 * 3_600_000)
    expect(status).not.toHaveProperty('estimatedCompletionAt')
    expect(await (await api.ask(path('approval'), { headers })).json()).toEqual(status.waits?.[0])

    const answer = await send(api, path('approval'), true)
    expect([answer.status, await answer.json()]).toEqual([202, { id, name: 'approval' }])
    expect(await resultOf(waybill.store, id)).toBe(true)
  })

  test('the first answer counts: a repetition is accepted, and another answer is refused', async ({ lab }) => {
    const { waybill, api, id, path } = await asking(lab, async job => [await ask(job), await job.event('end')])
    expect((await send(api, path('approval'), true)).status).toBe(202)
    expect((await send(api, path('approval'), true)).status).toBe(202)
    const other = await send(api, path('approval'), false)
    expect([other.status, await other.json()]).toMatchObject([409, { code: 'event-refused' }])
    await send(api, path('end'), { b: 1, a: [2] })
    expect(await resultOf(waybill.store, id)).toEqual([true, { b: 1, a: [2] }])
    expect((await send(api, path('end'), '{ "a": [2], "b": 1 }')).status).toBe(202)
    const late = await send(api, path('more'), 1)
    expect([late.status, await late.json()]).toMatchObject([409, { code: 'operation-finished' }])
  })

  test('an answer wakes the handler, and the other questions stay open', async ({ lab }) => {
    const gate = Promise.withResolvers<void>()
    const { waybill, api, id, path } = await asking(lab, async job => {
      if (job.attempt > 1) await gate.promise
      const more = job.event('more', { schema: BOOLEAN, timeout: '1h' })
      return await Promise.all([ask(job), more, Promise.race([job.sleep('long', '3h'), more])])
    })
    expect((await send(api, path('approval'), true)).status).toBe(202)
    await when(waybill.store, id, ({ attempt }) => attempt === 2)
    const headers = { 'x-user': 'ann' }
    const status = (await (await api.ask(`/orders/status/${id}`, { headers })).json()) as StatusDocument
    expect(status.waits?.map(({ name }) => name)).toEqual(['more'])
    expect((await send(api, path('more'), 3)).status).toBe(422)
    expect((await send(api, path('more'), false)).status).toBe(202)
    gate.resolve()
    expect(await resultOf(waybill.store, id)).toEqual([true, false, false])
  })

  test('an invalid answer is refused, and the handler still waits', async ({ lab }) => {
    const { waybill, api, id, path } = await asking(lab)
    const refused = async (path: string, body: unknown) => {
      const answer = await send(api, path, body)
      return [answer.status, ((await answer.json()) as { code: string }).code]
    }
    expect(await refused(path('approval'), 'yes')).toEqual([400, 'invalid-json'])
    expect(await refused(path('approval'), '"yes"')).toEqual([422, 'invalid-event'])
    expect(await refused(path('approval'), JSON.stringify('x'.repeat(65_536)))).toEqual([413, 'body-too-large'])
    expect(await refused(path('x'.repeat(65)), true)).toEqual([400, 'invalid-request'])
    expect(await refused(path('a b'), true)).toEqual([400, 'invalid-request'])
    expect(isSuspended(await when(waybill.store, id, () => true))).toBe(true)
  })

  test('only the owner and the callers that the type allows can see and answer it', async ({ lab }) => {
    const { waybill, api, id, path } = await asking(lab)
    for (const user of ['bob', "bob's boss"]) {
      expect((await send(api, path('approval'), true, user)).status).toBe(404)
      expect((await api.ask(path('approval'), { headers: { 'x-user': user } })).status).toBe(404)
    }
    const boss = "ann's boss"
    expect((await send(api, path('other'), true, boss)).status).toBe(404)
    expect((await api.ask(`/orders/status/${id}`, { headers: { 'x-user': boss } })).status).toBe(404)
    const question = await api.ask(path('approval'), { headers: { 'x-user': boss } })
    expect(await question.json()).toMatchObject({ message: 'May it go?' })
    expect((await send(api, path('approval'), false, boss)).status).toBe(202)
    expect(await resultOf(waybill.store, id)).toBe(false)
  })

  test('an event that the handler does not wait for yet is 404, and is stored for later', async ({ lab }) => {
    const { waybill, api, id, path } = await asking(lab, async job => [await job.event('c#2'), await job.event('c')])
    expect((await api.ask(path('c'), { headers: { 'x-user': 'ann' } })).status).toBe(404)
    expect((await send(api, path('c'), 'second')).status).toBe(400)
    expect((await send(api, path('c'), '"second"')).status).toBe(202)
    expect((await send(api, path('c#2'), 1)).status).toBe(202)
    expect(await resultOf(waybill.store, id)).toEqual([1, 'second'])
  })

  test('a callback URL accepts one event without further authentication', async ({ lab }) => {
    const urls: string[] = []
    const { waybill, api, id } = await asking(lab, async job => {
      urls.push(await job.callbackUrl('paid'))
      return await job.event('paid', { schema: { type: 'object' } })
    })
    const url = new URL(urls[0] ?? '')
    expect(url.href).toMatch(new RegExp(`^https://api\\.example\\.com/v1/operations/${id}/callbacks/[\\w-]{32}$`))
    const path = url.pathname.replace('/v1', '')
    expect((await send(api, `${path.slice(0, -1)}_`, {}, 'nobody')).status).toBe(404)
    expect((await send(api, path, 1, 'nobody')).status).toBe(422)
    const answer = await send(api, path, { amount: 3 }, 'nobody')
    expect([answer.status, await answer.json()]).toEqual([202, { id }])
    expect(await resultOf(waybill.store, id)).toEqual({ amount: 3 })
    expect(new Set(urls).size).toBe(1)
    expect((await send(api, path, { amount: 4 }, 'nobody')).status).toBe(409)
  })

  test('a long poll on a waiting operation is answered when the event arrives', async ({ lab }) => {
    const { waybill, api, id, path } = await asking(lab)
    const headers = { 'x-user': 'ann', prefer: 'wait=60' }
    const polled = api.ask(`/orders/status/${id}`, { headers })
    await send(api, path('approval'), true)
    expect((await polled).status).toBe(303)
    expect((await hasFinished(waybill.store, id)).status).toBe('completed')
  })
})
