/**
 * A client to the letter of RFC 9110 and OData 4.01, 11.6: 202 with `Location` and `Retry-After` is
 * asked for again, and the first answer that is no 202 is the outcome. Logic Apps, Durable Functions' `callHttp`,
 * FHIR and ARM clients do the same.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect } from 'vitest'
import { OrderServer, orders, type Wish } from '../support/order-server.ts'
import { type Api, postJson, type ServerOptions, serveFastify } from '../support/servers.ts'
import { hasStatus, type TestContext, test, until, when } from '../support/waybill.ts'

interface Outcome {
  readonly status: number
  readonly body: unknown
  readonly url: string
  /** The answers of 202, the first one included. */
  readonly pending: readonly Response[]
}

async function submitAndPoll(api: Api, init: RequestInit, headers: Record<string, string> = {}): Promise<Outcome> {
  const pending: Response[] = []
  let url = `${api.url}/orders`
  let response = await fetch(url, { redirect: 'error', ...init })
  while (response.status === 202) {
    pending.push(response)
    await response.body?.cancel()
    const seconds = response.headers.get('retry-after')
    if (seconds === null || !/^\d+$/.test(seconds)) throw new Error(`Retry-After is ${seconds}.`)
    await sleep(Number(seconds) * 1000)
    url = new URL(response.headers.get('location') ?? '', url).href
    response = await fetch(url, { redirect: 'error', headers })
  }
  return { status: response.status, body: await response.json(), url, pending }
}

const WAYS: Record<string, { options: ServerOptions; headers: Record<string, string> }> = {
  'of an API that speaks 202': { options: { dialect: 'accepted' }, headers: {} },
  'that prefers respond-async': { options: {}, headers: { prefer: 'respond-async' } },
}

for (const [name, { options, headers }] of Object.entries(WAYS)) {
  describe.concurrent(`a client ${name}`, () => {
    async function open(lab: TestContext) {
      const desk = new OrderServer()
      const waybill = await lab.waybill([orders], { worker: { handlers: desk.handlers } })
      const api = await serveFastify(lab, waybill, options)
      const ask = (wish: Wish) => submitAndPoll(api, postJson({ wish }, headers), headers)
      const first = async () => {
        let id: string | undefined
        await until(async () => {
          id = (await waybill.store.list({ type: 'orders', owner: '', limit: 1 }))[0]?.id
          return id !== undefined
        })
        return id ?? ''
      }
      return { desk, waybill, api, ask, first }
    }

    test('gets the result', async ({ lab }) => {
      const { ask } = await open(lab)
      const { status, body, url, pending } = await ask('complete')
      expect(status).toBe(200)
      expect(body).toMatchObject({ status: 'completed', order: { packed: true } })
      expect(pending.every(({ headers: told }) => told.get('location') === new URL(url).pathname)).toBe(true)
    })

    test('polls while the order runs, and sees its progress', async ({ lab }) => {
      const { desk, waybill, api, ask, first } = await open(lab)
      const asked = ask('hold')
      const id = await first()
      await when(waybill.store, id, ({ progress }) => progress !== null)
      const poll = await api.ask(`/orders/status/${id}`, { headers })
      expect([poll.status, poll.headers.get('x-progress')]).toEqual([202, '50% packing'])
      desk.letGo()
      expect((await asked).status).toBe(200)
    })

    test("gets the failure's own status", async ({ lab }) => {
      const { ask } = await open(lab)
      expect(await ask('fail')).toMatchObject({
        status: 422,
        body: { status: 'failed', error: { title: 'Out of stock', status: 422 } },
      })
      expect(await ask('crash')).toMatchObject({ status: 500, body: { status: 'failed' } })
    })

    test('sees a cancel, and can cancel by DELETE', async ({ lab }) => {
      const { waybill, api, ask, first } = await open(lab)
      const asked = ask('hold')
      const id = await first()
      await hasStatus(waybill.store, id, 'running')
      const deleted = await api.ask(`/orders/status/${id}`, { method: 'DELETE', headers })
      expect(deleted.status).toBe(202)
      expect(await asked).toMatchObject({ status: 410, body: { status: 'canceled' } })
    })
  })
}
