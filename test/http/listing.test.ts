import { describe, expect } from 'vitest'
import type { StatusDocument } from 'waybill'
import { PAGE_BYTES } from '../../src/http/listing.ts'
import { problem } from '../../src/model/problem.ts'
import { accepted, post, problemOf } from '../support/http.ts'
import { type OpenOrderServer, openOrderServer } from '../support/order-server.ts'
import { hasStatus, type TestContext, test, until } from '../support/waybill.ts'

interface Page {
  readonly items: readonly StatusDocument[]
  readonly next?: string
}

/** A desk whose orders wait, and that lists them. */
function open(lab: TestContext, api: Parameters<typeof openOrderServer>[1] = {}): Promise<OpenOrderServer> {
  return openOrderServer(lab, { waybill: { worker: false }, ...api, api: { listing: true, ...api.api } })
}

async function place(served: OpenOrderServer, count: number, headers: Record<string, string> = {}, path = '/orders') {
  const ids: string[] = []
  for (let n = 0; n < count; n++) ids.push(await accepted(served, path, { wish: 'complete' }, headers))
  return ids.reverse()
}

async function page(served: OpenOrderServer, url: string, headers: Record<string, string> = {}): Promise<Page> {
  const answer = await served.app.inject({ url, headers })
  expect(answer.statusCode).toBe(200)
  const body = answer.json<Page>()
  expect(answer.headers.link).toBe(body.next === undefined ? undefined : `<${body.next}>; rel="next"`)
  return body
}

/** All pages from one on. */
async function walk(served: OpenOrderServer, url: string, headers: Record<string, string> = {}): Promise<string[][]> {
  const { items, next } = await page(served, url, headers)
  const rest = next === undefined ? [] : await walk(served, next, headers)
  return [items.map(({ id }) => id), ...rest]
}

describe('pages', () => {
  test('list each order once, from the newest to the oldest', async ({ lab }) => {
    const served = await open(lab)
    const ids = await place(served, 7)
    expect(await walk(served, '/orders?limit=3')).toEqual([ids.slice(0, 3), ids.slice(3, 6), ids.slice(6)])
    expect(await walk(served, '/orders?limit=7')).toEqual([ids])
    expect(await walk(served, '/orders')).toEqual([ids])
  })

  test('are correct while orders are added and purged', async ({ lab }) => {
    const served = await open(lab)
    const ids = await place(served, 6)
    const first = await page(served, '/orders?limit=2')
    // New ones come before what was seen; the last one seen, which the cursor names, ends meanwhile.
    const then = Date.now()
    await until(() => Date.now() > then)
    await place(served, 3)
    await served.store.change(ids[1] ?? '', { kind: 'cancel' })
    const rest = await walk(served, first.next ?? '')
    expect([...first.items.map(({ id }) => id), ...rest.flat()]).toEqual(ids)
  })

  test('filter by a status', async ({ lab }) => {
    const served = await open(lab)
    const ids = await place(served, 6)
    const gone = ids.filter((_, index) => index % 2 === 0)
    for (const id of gone) await served.store.change(id, { kind: 'cancel' })
    await until(async () => (await served.store.read(gone[0] ?? ''))?.status === 'canceled')
    const first = await page(served, '/orders?limit=2&status=canceled')
    expect(first.next).toContain('status=canceled')
    expect(await walk(served, '/orders?limit=2&status=canceled')).toEqual([gone.slice(0, 2), gone.slice(2)])
    const waiting = ids.filter(id => !gone.includes(id))
    expect(await walk(served, '/orders?limit=2&status=pending')).toEqual([waiting.slice(0, 2), waiting.slice(2)])
    for (const status of ['running', 'completed', 'failed']) {
      expect(await walk(served, `/orders?status=${status}`)).toEqual([[]])
    }
  })

  test('contain the documents of the status URLs', async ({ lab }) => {
    const served = await openOrderServer(lab, { api: { listing: true } })
    const id = await accepted(served, '/orders', { wish: 'fail' })
    await hasStatus(served.store, id, 'failed')
    const { items } = await page(served, '/orders')
    expect(items).toEqual([(await served.app.inject(`/orders/status/${id}`)).json()])
  })

  test('are shorter if their documents are large', async ({ lab }) => {
    const served = await open(lab)
    const ids = await place(served, 120)
    const large = problem('operation-failed', 'x'.repeat(8000), { more: 'x'.repeat(7000) })
    for (let left = ids.length; left > 0; ) {
      const from = { types: [{ type: 'orders', limit: 50 }], limit: 50 }
      const claims = await served.store.claim({ from, holder: 'test', leaseMs: 60_000 })
      const outcome = { kind: 'failed', problem: large } as const
      for (const { operation } of claims) {
        await served.store.change(operation.id, { kind: 'finish', attempt: operation.attempt, outcome })
      }
      left -= claims.length
    }
    const answer = await served.app.inject('/orders?limit=200')
    expect(answer.body.length).toBeGreaterThan(PAGE_BYTES)
    expect(answer.body.length).toBeLessThan(PAGE_BYTES + 20_000)
    const pages = await walk(served, '/orders?limit=200')
    expect(pages.length).toBeGreaterThan(2)
    expect(pages.flat()).toEqual(ids)
    expect(await walk(served, '/orders?limit=200&status=failed')).toEqual(pages)
  })

  test('contain only operations of the caller', async ({ lab }) => {
    const served = await open(lab)
    const ann = { 'x-user': 'ann' }
    const ids = await place(served, 3, ann)
    await place(served, 2, { 'x-user': 'bob' })
    expect(await walk(served, '/orders?limit=2', ann)).toEqual([ids.slice(0, 2), ids.slice(2)])
    // A cursor is a place and no key: another caller's leads to his own.
    const { next } = await page(served, '/orders?limit=2', ann)
    expect(await walk(served, next ?? '', { 'x-user': 'eve' })).toEqual([[]])
  })
})

describe('the URL of the next page', () => {
  for (const [name, publicUrl, start] of [
    ['has the prefix', undefined, '/v1/orders?'],
    ['stands under the public URL', 'https://api.example.com/shop/', 'https://api.example.com/shop/v1/orders?'],
  ] as const) {
    test(name, async ({ lab }) => {
      const served = await open(lab, { api: { prefix: '/v1', ...(publicUrl && { publicUrl }) } })
      const ids = await place(served, 2, {}, '/v1/orders')
      const { next = '' } = await page(served, '/v1/orders?limit=1')
      expect(next.startsWith(start)).toBe(true)
      const rest = await page(served, `/v1/orders${new URL(next, 'http://x').search}`)
      expect(rest.items.map(({ id }) => id)).toEqual(ids.slice(1))
    })
  }
})

describe('a list is refused', () => {
  test('with 400, which names the invalid parameter', async ({ lab }) => {
    const served = await open(lab)
    const [id = ''] = await place(served, 1)
    for (const [query, named] of [
      ['limit=0', 'limit'],
      ['limit=201', 'limit'],
      ['limit=-1', 'limit'],
      ['limit=1.5', 'limit'],
      ['limit=', 'limit'],
      ['limit=1e1', 'limit'],
      ['status=', 'status'],
      ['status=Pending', 'status'],
      ['status=constructor', 'status'],
      ['cursor=', 'cursor'],
      [`cursor=${id}`, 'cursor'],
      [`cursor=${'a'.repeat(21)}`, 'cursor'],
      [`cursor=${'a'.repeat(5000)}`, 'cursor'],
      ['cursor=%00', 'cursor'],
    ]) {
      const answer = await served.app.inject(`/orders?${query}`)
      expect([query, answer.statusCode]).toEqual([query, 400])
      const problem = problemOf(answer)
      expect([problem.code, problem.detail?.startsWith(named ?? '')]).toEqual(['invalid-request', true])
    }
    for (const limit of [1, 200]) await page(served, `/orders?limit=${limit}`)
  })

  test('if the API has no list, as if the path had no GET', async ({ lab }) => {
    const served = await openOrderServer(lab)
    const answer = await served.app.inject('/orders')
    expect([answer.statusCode, answer.headers.allow, problemOf(answer).code]).toEqual([
      405,
      'POST, OPTIONS',
      'method-not-allowed',
    ])
    expect((await post(served, '/orders', { wish: 'complete' })).statusCode).toBe(202)
  })
})
