/** What docs/reference/http.md says of batches, statement by statement. */
import { expect } from 'vitest'
import { batchOf, handler } from 'waybill'
import { fetchHandler } from 'waybill/web'
import { orders } from '../support/order-server.ts'
import { followsReference } from '../support/reference.ts'
import { hasFinished, type TestContext } from '../support/waybill.ts'

const batches = batchOf(orders, { maxItems: 3 })
const NDJSON = 'application/x-ndjson'

async function open(lab: TestContext) {
  const handlers = handler(orders, async ({ wish }) => {
    if (wish === 'crash') throw new Error('It crashed.')
    return { packed: true }
  })
  const waybill = await lab.waybill([orders, batches], { worker: { handlers } })
  const handle = fetchHandler(waybill)
  const ask = async (path: string, init?: RequestInit) => await handle(new Request(`http://localhost${path}`, init))
  const post = async (body: string, type = 'application/json') =>
    await ask('/orders/batches', { method: 'POST', headers: { 'content-type': type }, body })
  const submit = async (wishes: readonly string[]) => {
    const answer = await post(JSON.stringify(wishes.map(wish => ({ wish }))))
    const { id } = (await answer.json()) as { id: string }
    await hasFinished(waybill.store, id)
    return id
  }
  return { ask, post, submit, waybill }
}

followsReference('POST /orders/batches', {
  'Only with a [batch type]': async lab => {
    const { ask, post, waybill } = await open(lab)
    const answer = await post('{"wish":"complete"}\n{"wish":"fly"}', NDJSON)
    const { id } = (await answer.json()) as { id: string }
    expect([answer.status, answer.headers.get('location')]).toEqual([202, `/orders/batches/status/${id}`])
    await hasFinished(waybill.store, id)
    const batch = { total: 2, completed: 1, failed: 1, canceled: 0 }
    expect(await (await ask(`/orders/batches/${id}`)).json()).toEqual({ id, status: 'completed', batch })
    const broken = await post('{"wish":"complete"}\n{"wish":', NDJSON)
    expect([broken.status, await broken.json()]).toMatchObject([
      400,
      { code: 'invalid-json', detail: expect.stringMatching(/^Line 2 /) },
    ])
    for (const items of [[], Array(4).fill({ wish: 'complete' })]) {
      const refused = await post(JSON.stringify(items))
      expect([refused.status, await refused.json()]).toMatchObject([400, { code: 'invalid-input' }])
    }
  },

  '`GET /orders/batches/{id}/results`': async lab => {
    const { ask, submit } = await open(lab)
    const id = await submit(['complete', 'crash', 'fly'])
    const answer = await ask(`/orders/batches/${id}/results?limit=2`)
    expect([answer.status, answer.headers.get('content-type')]).toEqual([200, NDJSON])
    const lines = (await answer.text()).trim().split('\n')
    const [done, crashed] = lines.map(line => JSON.parse(line) as { id: string })
    const url = (of: { id: string } | undefined) => `/orders/${of?.id}`
    expect(done).toEqual({ index: 0, id: done?.id, url: url(done), status: 'completed', output: { packed: true } })
    expect(crashed).toMatchObject({ index: 1, status: 'failed', error: { code: 'operation-failed' } })
    expect(answer.headers.get('link')).toBe(`</orders/batches/${id}/results?after=1&limit=2>; rel="next"`)
    const rest = await ask(`/orders/batches/${id}/results?after=1&limit=2`)
    expect(JSON.parse(await rest.text())).toMatchObject({ index: 2, error: { code: 'invalid-input' } })
    expect(rest.headers.get('link')).toBeNull()
  },

  '`POST /operations/{id}:retry` also': async lab => {
    const { ask, submit, waybill } = await open(lab)
    const whole = await submit(['complete'])
    expect((await ask(`/operations/${whole}:retry`, { method: 'POST' })).status).toBe(409)
    const id = await submit(['complete', 'crash'])
    const retried = await ask(`/operations/${id}:retry`, { method: 'POST' })
    const { id: again } = (await retried.json()) as { id: string }
    expect(retried.status).toBe(202)
    await hasFinished(waybill.store, again)
    expect(await waybill.store.countChildren(again)).toMatchObject({ completed: 0, failed: 1 })
  },
})
