/** `waybill console`: the console of a store, beside the deployment. */
import { get } from 'node:http'
import { expect } from 'vitest'
import { defineOperation, handler } from 'waybill'
import { sqliteStore } from 'waybill/stores/sqlite'
import { buildConsole } from '../../scripts/console.ts'
import { waybill as command, startWaybill } from '../support/cli.ts'
import { hasFinished, submit, test } from '../support/waybill.ts'

const orders = defineOperation({ name: 'orders' })

test('serves the console and the admin API of a store to this machine only, until it is stopped', async ({ lab }) => {
  await buildConsole()
  const path = lab.file()
  const waybill = await lab.waybill([orders], {
    store: sqliteStore({ path, synchronous: 'NORMAL' }),
    worker: { handlers: [handler(orders, () => ({ packed: true }))] },
  })
  const id = await submit(waybill, orders, { wish: 'complete' })
  await hasFinished(waybill.store, id)
  // In production too: it is a tool of the person who starts it.
  const started = startWaybill(['console', '--store', `sqlite:${path}`], { NODE_ENV: 'production' })
  const [address = ''] = /http:\S+\/console/.exec(await started.writes('Ctrl-C stops.')) ?? []
  const url = new URL(address)
  expect(url.hostname).toBe('127.0.0.1')
  expect(await (await fetch(url)).text()).toContain('<base href="/console/">')
  const session = (await (await fetch(new URL('/admin/session', url))).json()) as { role: string; token: string }
  expect(session).toMatchObject({ role: 'operator', payloads: true })
  const found = await (await fetch(new URL('/admin/operations', url))).json()
  expect(found).toMatchObject({ items: [{ id, status: 'completed' }] })
  const headers = { 'waybill-token': session.token }
  const deleted = await fetch(new URL(`/admin/operations/${id}`, url), { method: 'DELETE', headers })
  expect(deleted.status).toBe(204)
  expect(await waybill.store.read(id)).toMatchObject({ purged: true })
  expect(await statusFor(url, 'rebound.example')).toBe(401)
  expect((await fetch(new URL('/operations/x', url))).status).toBe(401)
  started.child.kill('SIGTERM')
  expect(await started.ended).toMatchObject({ code: 0, err: '' })
})

test('creates no store if there is none', async ({ lab }) => {
  expect(await command(['console', '--store', `sqlite:${lab.file()}`])).toMatchObject({ code: 1, out: '' })
})

function statusFor(url: URL, host: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    get(new URL('/admin/session', url), { headers: { host } }, response => {
      response.resume()
      resolve(response.statusCode)
    }).on('error', reject)
  })
}
