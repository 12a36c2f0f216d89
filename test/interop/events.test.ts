/** The `eventsource` package, which follows the WHATWG standard, over connections that break. */
import { once } from 'node:events'
import { EventSource } from 'eventsource'
import { expect } from 'vitest'
import type { StatusDocument } from 'waybill'
import { OrderServer, orders } from '../support/order-server.ts'
import { idOf, postJson, SERVERS } from '../support/servers.ts'
import { hasStatus, test, until, when } from '../support/waybill.ts'

for (const name of ['Fastify', 'node:http']) {
  test.concurrent(`over ${name}: an interrupted stream resumes at its position, and 204 ends it`, async ({ lab }) => {
    const desk = new OrderServer()
    const waybill = await lab.waybill([orders], { worker: { handlers: desk.handlers } })
    const api = await SERVERS[name]?.(lab, waybill)
    if (api === undefined) throw new Error(`There is no ${name}.`)
    const id = await idOf(api.ask('/orders', postJson({ wish: 'hold' })))
    const resumed: (string | null)[] = []
    const answered: number[] = []
    const source = new EventSource(`${api.url}/orders/status/${id}`, {
      fetch: async (url, init) => {
        resumed.push(new Headers(init.headers).get('last-event-id'))
        const response = await fetch(url, init as RequestInit)
        answered.push(response.status)
        return response
      },
    })
    lab.onEnd(() => source.close())
    const seen: { readonly id: string; readonly status: string }[] = []
    source.addEventListener('status', event => {
      const { status } = JSON.parse(event.data) as StatusDocument
      seen.push({ id: event.lastEventId, status })
    })

    await when(waybill.store, id, ({ progress }) => progress !== null)
    const { version } = await waybill.store.read(id).then(found => found ?? { version: 0 })
    await until(() => seen.at(-1)?.id === String(version))
    api.server?.closeAllConnections()
    await until(() => source.readyState === source.CONNECTING)
    desk.letGo()
    await hasStatus(waybill.store, id, 'completed')
    await until(() => source.readyState === source.CLOSED)

    expect(seen.at(-1)).toMatchObject({ status: 'completed' })
    const ids = seen.map(event => Number(event.id))
    expect(ids).toEqual([...new Set(ids)].sort((a, b) => a - b))
    expect(resumed).toEqual([null, String(version), seen.at(-1)?.id])
    expect(answered).toEqual([200, 200, 204])
    expect(waybill.operations.waiting).toBe(0)
  })
}

test.concurrent('a failure and a cancel are the last event of their streams', async ({ lab }) => {
  const desk = new OrderServer()
  const waybill = await lab.waybill([orders], { worker: { handlers: desk.handlers } })
  const api = await SERVERS.Fastify?.(lab, waybill)
  if (api === undefined) throw new Error('There is no Fastify.')
  for (const [wish, status] of [
    ['fail', 'failed'],
    ['hold', 'canceled'],
  ] as const) {
    const id = await idOf(api.ask('/orders', postJson({ wish })))
    const source = new EventSource(`${api.url}/orders/status/${id}`)
    lab.onEnd(() => source.close())
    const last = new Promise<StatusDocument>(resolve => {
      source.addEventListener('status', event => {
        const document = JSON.parse(event.data) as StatusDocument
        if (document.finishedAt !== undefined) resolve(document)
      })
    })
    await once(source as unknown as NodeJS.EventEmitter, 'open')
    if (wish === 'hold') await api.ask(`/orders/status/${id}`, { method: 'DELETE' })
    expect(await last).toMatchObject({ id, status, error: { code: expect.any(String) } })
    source.close()
  }
})
