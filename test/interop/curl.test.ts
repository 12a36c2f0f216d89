/** Orders are completed, failed and canceled by curl alone. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import { expect } from 'vitest'
import { problemError } from '../../src/model/problem.ts'
import { OrderServer, orders, type Wish } from '../support/order-server.ts'
import { type Api, serveFastify } from '../support/servers.ts'
import { hasStatus, type TestContext, test, until } from '../support/waybill.ts'

interface Ran {
  readonly code: number
  /** What came last: `-w` has its status and its URL put behind the body. */
  readonly body: string
  readonly status: number
  readonly url: string
}

/** Runs curl to its end; a code other than 0 is not an error of the test. */
function curl(...given: string[]): Promise<Ran> {
  const format = '\n%{http_code} %{url_effective}'
  return new Promise(resolve => {
    execFile('curl', ['-sS', '-w', format, ...given], (error, output) => {
      const [, body = '', status, url = ''] = /^(.*)\n(\d+) (\S*)$/s.exec(output) ?? []
      resolve({ code: Number(error?.code ?? 0), body, status: Number(status), url })
    })
  })
}

async function open(lab: TestContext, dialect: 'redirect' | 'accepted' = 'redirect') {
  const desk = new OrderServer()
  const waybill = await lab.waybill([orders], { worker: { handlers: desk.handlers } })
  return { desk, waybill, api: await serveFastify(lab, waybill, { dialect }) }
}

/** Places an order as the shell does it; gives the URL in `Location`. */
async function place({ url }: Api, wish: Wish): Promise<string> {
  const json = ['-H', 'Content-Type: application/json', '-d', JSON.stringify({ wish })]
  const { status, body } = await curl('-D', '-', ...json, `${url}/orders`)
  expect(status).toBe(202)
  return url + (/^location: (\S+)/im.exec(body)?.[1] ?? '')
}

test('curl -L on a finished order ends at its result', async ({ lab }) => {
  const { waybill, api } = await open(lab)
  const location = await place(api, 'complete')
  const id = location.split('/').at(-1) ?? ''
  await hasStatus(waybill.store, id, 'completed')
  const ran = await curl('-L', location)
  expect(ran).toMatchObject({ code: 0, status: 200, url: `${api.url}/orders/${id}` })
  expect(JSON.parse(ran.body)).toEqual({ id, status: 'completed', order: { packed: true } })
})

test('curl -L with Prefer: wait gets the result of a running order by one command', async ({ lab }) => {
  const { desk, waybill, api } = await open(lab)
  const location = await place(api, 'hold')
  await hasStatus(waybill.store, location.split('/').at(-1) ?? '', 'running')
  const ran = curl('-L', '-H', 'Prefer: wait=60', location)
  await until(() => waybill.operations.waiting === 1)
  desk.letGo()
  expect(await ran).toMatchObject({ code: 0, status: 200, body: expect.stringContaining('"packed":true') })
})

test('curl --fail-with-body has an exit code for a failed order', async ({ lab }) => {
  const { api } = await open(lab)
  const ran = await curl('-L', '--fail-with-body', '-H', 'Prefer: wait=60', await place(api, 'fail'))
  expect(ran).toMatchObject({ code: 22, status: 422 })
  expect(JSON.parse(ran.body)).toMatchObject({ status: 'failed', error: { code: 'out-of-stock' } })
})

test('curl -X DELETE cancels', async ({ lab }) => {
  const { waybill, api } = await open(lab)
  const location = await place(api, 'hold')
  const id = location.split('/').at(-1) ?? ''
  await hasStatus(waybill.store, id, 'running')
  expect(await curl('-X', 'DELETE', location)).toMatchObject({ code: 0, status: 202 })
  const ran = await curl('-L', '-H', 'Prefer: wait=60', location)
  expect(ran).toMatchObject({ code: 0, status: 410, url: `${api.url}/orders/${id}` })
  expect(JSON.parse(ran.body)).toMatchObject({ status: 'canceled', error: { code: 'operation-canceled' } })
})

test('curl -N shows the events until the end', async ({ lab }) => {
  const { api } = await open(lab)
  const location = await place(api, 'complete')
  const { code, body } = await curl('-N', '-H', 'Accept: text/event-stream', location)
  expect(code).toBe(0)
  expect(body).toMatch(/^event: status\nid: \d+\ndata: \{.*"status":"completed".*\}\n\n$/m)
})

test('curl --retry repeats a request that was refused for a while', async ({ lab }) => {
  const { waybill, api } = await open(lab)
  const real = waybill.operations.find.bind(waybill.operations)
  const location = await place(api, 'complete')
  let asked = 0
  waybill.operations.find = async (...given) => {
    asked++
    if (asked === 1) throw problemError('unavailable', undefined, { retryAfter: 1 })
    return await real(...given)
  }
  expect(await curl('-L', '--retry', '2', '-H', 'Prefer: wait=60', location)).toMatchObject({ code: 0, status: 200 })
  expect(asked).toBeGreaterThan(1)
})

test('the commands of docs/guide/other-clients.md work one after the other', async ({ lab }) => {
  const { api } = await open(lab)
  const text = readFileSync(new URL('../../docs/guide/other-clients.md', import.meta.url), 'utf8')
  const commands = (/```sh\n(.*?)```/s.exec(text)?.[1] ?? '').replaceAll('https://api.example.com', api.url)
  const { stdout } = await promisify(execFile)('bash', ['-euo', 'pipefail', '-c', commands])
  expect(JSON.parse(stdout)).toMatchObject({ status: 'completed', order: { packed: true } })
})
