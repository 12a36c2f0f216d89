/** What a status URL answers with: JSON or an event stream, and from where on a stream tells. */
import { describe, expect } from 'vitest'
import { accepted } from '../support/http.ts'
import { type OpenOrderServer, openOrderServer, ordersWith, type Wish } from '../support/order-server.ts'
import { eventsOf } from '../support/servers.ts'
import { hasFinished, recordOf, test, until, when } from '../support/waybill.ts'

async function order(served: OpenOrderServer, wish: Wish): Promise<string> {
  const id = await accepted(served, '/orders', { wish })
  if (wish === 'hold') await when(served.store, id, ({ progress }) => progress !== null)
  else await hasFinished(served.store, id)
  return id
}

async function streamOf({ app }: OpenOrderServer, id: string, headers: Record<string, string> = {}) {
  const url = `/orders/status/${id}`
  const answer = await app.inject({ url, headers: { accept: 'text/event-stream', ...headers } })
  const events: { event: string; id: string; data: string }[] = []
  for await (const event of eventsOf(new Response(answer.body === '' ? null : answer.body))) events.push(event)
  return { status: answer.statusCode, events }
}

describe('Accept', () => {
  const EVENTS = 'text/event-stream'
  const JSON_TYPE = 'application/json; charset=utf-8'
  const cases: [accept: string | undefined, media: string][] = [
    [undefined, JSON_TYPE],
    ['', JSON_TYPE],
    ['*/*', JSON_TYPE],
    ['text/*', JSON_TYPE],
    ['text/html, application/xhtml+xml, */*;q=0.8', JSON_TYPE],
    ['application/json', JSON_TYPE],
    ['text/event-stream', EVENTS],
    ['Text/Event-Stream', EVENTS],
    ['text/event-stream; charset=utf-8', EVENTS],
    ['text/event-stream, */*', EVENTS],
    ['*/*, text/event-stream', EVENTS],
    ['text/event-stream, application/json', EVENTS],
    ['application/json, text/event-stream', JSON_TYPE],
    ['text/event-stream, application/json;q=0.9', EVENTS],
    ['application/json;q=0.1, text/event-stream', EVENTS],
    ['application/json;q=0.1, text/event-stream;Q=0.2', EVENTS],
    ['text/event-stream;q=0', JSON_TYPE],
    ['text/event-stream;q=0.000, application/json;q=0', JSON_TYPE],
    ['text/event-stream;q=0.1, */*;q=0.9', JSON_TYPE],
    ['text/event-stream;q=0.9, */*;q=0.1', EVENTS],
    ['text/event-stream;q=0.5, application/*;q=0.6', JSON_TYPE],
    ['text/event-stream;q=0.5, application/*;q=0.6, application/json;q=0.1', EVENTS],
    ['text/event-stream-more', JSON_TYPE],
    ['text/plain; note="a, text/event-stream, b"', JSON_TYPE],
  ]
  for (const [accept, media] of cases) {
    test(`${accept}: ${media}`, async ({ lab }) => {
      const served = await openOrderServer(lab)
      const url = `/orders/status/${await order(served, 'hold')}`
      const answer = await served.app.inject({ method: 'HEAD', url, headers: accept === undefined ? {} : { accept } })
      expect([answer.statusCode, answer.headers['content-type']]).toEqual([200, media])
      expect(String(answer.headers.vary)).toContain('Accept')
    })
  }
})

describe('Last-Event-ID', () => {
  const beyond = ['999', '999.1', '999999999999999.999999999999999']

  test('beyond the last event of a finished operation starts from the beginning', async ({ lab }) => {
    const served = await openOrderServer(lab, { type: ordersWith({ exposeLogs: true }) })
    const id = await order(served, 'complete')
    const whole = await streamOf(served, id)
    expect(whole.events.map(({ event }) => event)).toEqual(['status'])
    for (const lastEventId of beyond) {
      expect([lastEventId, await streamOf(served, id, { 'last-event-id': lastEventId })]).toEqual([lastEventId, whole])
    }
    const last = whole.events.at(-1)?.id ?? ''
    expect(await streamOf(served, id, { 'last-event-id': last })).toEqual({ status: 204, events: [] })
  })

  test('beyond the last event of a running operation gets all events to the end', async ({ lab }) => {
    const served = await openOrderServer(lab, { type: ordersWith({ exposeLogs: true }) })
    const id = await order(served, 'hold')
    const streams = ['', ...beyond].map(lastEventId => streamOf(served, id, { 'last-event-id': lastEventId }))
    await until(() => served.waybill.operations.waiting === streams.length)
    served.desk.letGo()
    const [whole, ...others] = await Promise.all(streams)
    expect(whole?.events.map(({ event }) => event)).toEqual(['log', 'status', 'status'])
    for (const other of others) expect(other).toEqual(whole)
    const { version } = await recordOf(served.store, id)
    expect(whole?.events.at(-1)?.id).toBe(`${version}.1`)
  })
})
