/** What other parts of a server have put on an answer stays there. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import fastify from 'fastify'
import { expect } from 'vitest'
import { waybill as plugin } from 'waybill/fastify'
import { nodeListener } from 'waybill/node'
import type { Waybill } from '../../src/waybill.ts'
import { ordersWith } from '../support/order-server.ts'
import { submit, type TestContext, test } from '../support/waybill.ts'

const type = ordersWith()
const PRESENT = {
  Vary: 'Origin, accept',
  Link: '</help>; rel="help", </a,b>; rel="next"',
  'Access-Control-Expose-Headers': 'X-Trace, Location',
  'X-Other': 'kept',
}
const OPTIONS = { cors: { origins: '*' }, listing: true } as const

async function onFastify(lab: TestContext, waybill: Waybill): Promise<string> {
  const app = fastify({ forceCloseConnections: true })
  lab.onEnd(() => app.close())
  app.addHook('onRequest', async (_, reply) => void reply.headers(PRESENT))
  await app.register(plugin, { waybill, ...OPTIONS })
  return await app.listen({ port: 0, host: '127.0.0.1' })
}

async function onNode(lab: TestContext, waybill: Waybill): Promise<string> {
  const api = nodeListener(waybill, OPTIONS)
  const server = createServer((request, response) => {
    for (const [name, value] of Object.entries(PRESENT)) response.setHeader(name, value)
    api(request, response)
  }).listen(0, '127.0.0.1')
  lab.onEnd(() => {
    server.closeAllConnections()
    return new Promise(resolve => server.close(resolve))
  })
  await once(server, 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

test.for([
  ['Fastify', onFastify],
  ['node:http', onNode],
] as const)('%s adds to existing list headers', async ([, serve], { lab }) => {
  const waybill = await lab.waybill([type])
  const url = await serve(lab, waybill)
  const [id] = [await submit(waybill, type, { wish: 'hold' }), await submit(waybill, type, { wish: 'hold' })]
  const headers = { origin: 'https://app.example.com' }
  const status = await fetch(`${url}/orders/status/${id}`, { headers })
  expect(status.headers.get('vary')).toBe('Origin, accept, Prefer')
  expect(status.headers.get('x-other')).toBe('kept')
  const exposed = status.headers.get('access-control-expose-headers')?.split(', ') ?? []
  expect(exposed).toEqual(expect.arrayContaining(['X-Trace', 'Location', 'Retry-After']))
  expect(exposed.filter(name => name === 'Location')).toHaveLength(1)
  const list = await fetch(`${url}/orders?limit=1`, { headers })
  expect(list.headers.get('link')).toMatch(/^<\/help>; rel="help", <\/a,b>; rel="next", <\/orders\?\S+>; rel="next"$/)
})
