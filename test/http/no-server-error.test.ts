/** Whatever a request names, it is answered as the client's fault or as what does not exist, over every store. */
import { describe, expect } from 'vitest'
import { batchOf, defineOperation, handler } from 'waybill'
import { type Api, idOf, postJson, SERVERS } from '../support/servers.ts'
import { openStore, storePlaces } from '../support/store-places.ts'
import { hasFinished, hasStatus, KeptLog, type TestContext, test } from '../support/waybill.ts'

const orders = defineOperation({ name: 'orders', exposeLogs: true, allowWebhooks: true })
const batches = batchOf(orders)
const processor = handler(orders, async (order, job) => {
  if (order === 'ask') return await job.ask('approval', { message: 'Ship it?', schema: { type: 'boolean' } })
  job.log('packed\0')
  return { order }
})

const ID = '01a22644-51a5-740d-92c0-b627742f6aeb'
/** What a path or a query may hold, percent-encoded. */
const PARTS = [
  ...['', '0', '-1', '1e308', '99999999999999999999', 'NaN', '2027-02-31', '__proto__', 'constructor', 'a'.repeat(90)],
  ...['%00', '%E2%80%A8', '%ED%A0%80', '%F0%9F%92%A9', '%2F', '%5C', '%3F', '%23', '%22', '%25', "'", '%27%20OR%201=1'],
  ...[ID, ID.toUpperCase(), ID.replaceAll(/[^-]/g, 'f'), ID.replaceAll(/[^-]/g, '0')],
]
const JSON_TEXTS = ['null', '[]', '{}', '1e400', '"\\u0000"', '"\\ud800"', '{"a\\u0000":[{}]}', '{"ids":[""]}']
const FILTERS = ['status', 'type', 'owner', 'problem', 'key', 'execution', 'holder', 'since', 'until', 'tag:a', 'word']

interface Known {
  /** An operation that waits, one that has completed, and a batch. */
  readonly asking: string
  readonly done: string
  readonly batch: string
}

const READS = ({ asking, done, batch }: Known) => [
  ...['/orders/status/*', '/orders/*', '/orders?cursor=*', '/orders?status=*', '/orders?limit=*', '/operations/*'],
  ...['/operations/*/attempts', '/operations/*/deliveries', '/operations/*/events/a', `/operations/${asking}/events/*`],
  ...['/orders/batches/*/results', `/orders/batches/${batch}/results?after=*`, '/console/*', '/console/assets/*'],
  ...['/admin/operations/*', '/admin/operations/*/input', '/admin/operations/*/result', '/admin/operations/*/log'],
  ...[`/admin/operations/${done}/log?after=*`, '/admin/operations/*/children', '/admin/operations/*/results'],
  ...[`/admin/operations/${batch}/children?after=*`, `/admin/operations/${batch}/results?after=*`, '/admin/bulk/*'],
  ...['/admin/operations?after=*', '/admin/operations?limit=*', '/admin/statistics?window=*', '/admin/audit?after=*'],
  ...FILTERS.map(name => `/admin/operations?filter=${name.replace(':', '%3A')}%3A*`),
]
const CHANGES = ({ asking, done }: Known) => [
  ...['/operations/*:cancel', '/operations/*:retry', `/operations/${done}:retry?fresh=*`, '/operations/*/deliveries'],
  ...['/operations/*/events/a', `/operations/${asking}/events/*`, '/operations/*/callbacks/a', '/admin/bulk/*/cancel'],
  ...[`/operations/${asking}/callbacks/*`, '/admin/operations/*/cancel', '/admin/operations/*/retry'],
  ...['/admin/operations/*/events/a', '/admin/deliveries/*/replay', '/admin/types/*/pause', '/admin/types/*/resume'],
]
const BODIES = ({ asking }: Known) => [
  ...['/orders', '/orders/batches', '/mcp', '/admin/bulk', '/admin/bulk/preview', '/admin/operations/1/retry'],
  ...[`/operations/${asking}/events/other`, `/admin/operations/${asking}/events/more`],
]

interface Served extends Known {
  readonly api: Api
  readonly logger: KeptLog
}

async function serve(lab: TestContext, place: string): Promise<Served> {
  const logger = new KeptLog()
  const waybill = await lab.waybill([orders, batches], {
    store: await openStore(lab, place),
    worker: { handlers: [processor] },
    webhooks: { secrets: ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'] },
    logger,
  })
  const { Hono } = SERVERS
  if (Hono === undefined) throw new Error('There is no such server.')
  const admin = { operator: () => ({ name: 'ann', role: 'operator' }) as const }
  const api = await Hono(lab, waybill, { listing: true, exposeAttempts: true, mcp: true, admin })
  const place202 = (path: string, body: unknown) => idOf(api.ask(path, postJson(body)))
  const known = {
    asking: await place202('/orders', 'ask'),
    done: await place202('/orders', 1),
    batch: await place202('/orders/batches', [1, '\0', '\ud800']),
  }
  await hasFinished(waybill.store, known.done)
  await hasFinished(waybill.store, known.batch)
  await hasStatus(waybill.store, known.asking, 'pending')
  return { ...known, api, logger }
}

describe.for(storePlaces())('over %s', ([, placeFor]) => {
  test('no request is answered with a fault of the server', async ({ lab }) => {
    const served = await serve(lab, placeFor(lab))
    const { api, logger } = served
    const session = (await (await api.ask('/admin/session')).json()) as { token: string }
    const wrong: unknown[] = []
    const ask = async (method: string, path: string, body?: string) => {
      const headers = {
        'waybill-token': session.token,
        ...(body !== undefined && { 'content-type': 'application/json' }),
      }
      const answer = await api.ask(path, { method, headers, ...(body !== undefined && { body }) })
      const text = await answer.text()
      if (answer.status >= 500) wrong.push([method, path, body, answer.status, text])
    }
    for (const part of PARTS) {
      for (const path of READS(served)) await ask('GET', path.replace('*', part))
      for (const path of CHANGES(served)) await ask('POST', path.replace('*', part), '{"note":"\\u0000\\ud800"}')
      for (const path of ['/orders/status/*', '/operations/*', '/admin/operations/*'])
        await ask('DELETE', path.replace('*', part))
    }
    for (const text of JSON_TEXTS) {
      for (const path of BODIES(served)) await ask('POST', path, text)
      for (const action of ['cancel', 'retry', 'delete', 'replay']) {
        await ask('POST', '/admin/bulk/preview', `{"action":"${action}","ids":[${text},"/"]}`)
        await ask('POST', '/admin/bulk/preview', `{"action":"${action}","filter":${text}}`)
      }
    }
    expect(wrong).toEqual([])
    expect(logger.lines.filter(({ level }) => level === 'error')).toEqual([])
  })
})
