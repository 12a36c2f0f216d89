/** A server written outside of src, with what `waybill/adapters` exports. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished } from 'vitest'
import { defineOperation, handler } from 'waybill'
import { fetchAndWait } from 'waybill/client'
import { smallListener } from '../fixtures/adapters/server.ts'
import { test } from '../support/waybill.ts'

test('a custom server serves the whole API', async ({ lab }) => {
  const teas = defineOperation({ name: 'teas', resultKey: 'tea' })
  const waybill = await lab.waybill([teas], { worker: { handlers: handler(teas, tea => tea) } })
  const server = createServer(smallListener(waybill, '/api')).listen(0, '127.0.0.1')
  onTestFinished(() => void server.close().closeAllConnections())
  await new Promise(resolve => server.once('listening', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/api`

  const post = { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"kind":"green"}' }
  const { tea } = await fetchAndWait<{ tea: unknown }>(`${url}/teas`, post)
  expect(tea).toEqual({ kind: 'green' })

  const accepted = await fetch(`${url}/teas`, post)
  expect([accepted.status, accepted.headers.get('location')]).toEqual([
    202,
    expect.stringMatching(/^\/api\/teas\/status\//),
  ])
  const events = await fetch(new URL(`${accepted.headers.get('location')}`, url), {
    headers: { accept: 'text/event-stream' },
  })
  expect(await events.text()).toContain('event: status')
  const unknown = await fetch(`${url}/nothing`)
  expect([unknown.status, unknown.headers.get('cache-control')]).toEqual([404, 'private, no-store'])
  expect((await fetch(`${url}/teas`, { ...post, body: ' '.repeat(2 ** 21) })).status).toBe(413)
  expect((await fetch(`${url}/teas`, { method: 'PUT' })).status).toBe(405)
})
