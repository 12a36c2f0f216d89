/** Batches, over every server. */
import { describe, expect } from 'vitest'
import { batchOf, defineOperation, handler, ProblemError } from 'waybill'
import { z } from 'zod'
import type { AnyOperationType } from '../../src/model/operation-type.ts'
import { type Api, SERVERS, serveNode } from '../support/servers.ts'
import { type TestContext, test, until } from '../support/waybill.ts'

const squares = defineOperation({
  name: 'squares',
  attempts: 1,
  input: z.object({ of: z.number() }),
  output: z.number(),
  inFlightLimit: 5,
})
const squareBatches = batchOf(squares, { maxItems: 50 })
const JSON_TYPE = 'application/json'

interface Line {
  readonly index: number
  readonly id: string
  readonly url: string
  readonly status: string
  readonly output?: number
  readonly error?: { readonly code: string; readonly errors?: readonly unknown[] }
}

describe.each(Object.entries(SERVERS))('over %s', (_, serve) => {
  async function open(lab: TestContext, square: (of: number, signal: unknown) => unknown = of => of * of) {
    const handlers = handler(squares, async ({ of }, { signal }) => (await square(of, signal)) as number)
    const waybill = await lab.waybill([squares, squareBatches], { worker: { handlers } })
    const api = await serve(lab, waybill, { byHeader: true })
    return { waybill, api }
  }

  const ask = async (api: Api, path: string, init: RequestInit = {}, user = 'ann') =>
    await api.ask(path, { ...init, headers: { 'x-user': user, ...init.headers } })

  const post = async (api: Api, body: unknown, headers: Record<string, string> = {}) =>
    await ask(api, '/squares/batches', {
      method: 'POST',
      headers: { 'content-type': JSON_TYPE, ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    })

  async function accepted(api: Api, body: unknown, headers: Record<string, string> = {}): Promise<string> {
    const answer = await post(api, body, headers)
    expect(answer.status).toBe(202)
    return ((await answer.json()) as { id: string }).id
  }

  const status = async (api: Api, id: string) =>
    (await (await ask(api, `/squares/batches/status/${id}`, { redirect: 'manual' })).json().catch(() => ({}))) as {
      status?: string
      children?: object
    }

  async function finished(api: Api, id: string): Promise<unknown> {
    const result = async () => await ask(api, `/squares/batches/${id}`)
    await until(async () => (await result()).status !== 404)
    return await (await result()).json()
  }

  async function linesOf(api: Api, id: string, query = ''): Promise<{ lines: Line[]; link: string | null }> {
    const answer = await ask(api, `/squares/batches/${id}/results${query}`)
    expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'application/x-ndjson'])
    const text = await answer.text()
    const lines = text.split('\n').filter(line => line !== '')
    return { lines: lines.map(line => JSON.parse(line) as Line), link: answer.headers.get('link') }
  }

  test('each item is an operation, an invalid item is a failed operation, and the results have the order of the input', async ({
    lab,
  }) => {
    const { api } = await open(lab, of => {
      if (of === 3) throw new ProblemError({ code: 'no-threes', title: 'No threes', status: 422 })
      return of * of
    })
    const items = [{ of: 1 }, { of: 'two' }, { of: 3 }, ...Array.from({ length: 20 }, (_, at) => ({ of: at + 4 }))]
    const id = await accepted(api, items)
    const summary = { total: 23, completed: 21, failed: 2, canceled: 0 }
    expect(await finished(api, id)).toEqual({ id, status: 'completed', batch: summary })
    const { lines, link } = await linesOf(api, id)
    expect(lines.map(({ index }) => index)).toEqual(items.map((_, index) => index))
    expect(link).toBeNull()
    expect(lines[0]).toMatchObject({ status: 'completed', output: 1 })
    expect(lines[1]).toMatchObject({ status: 'failed', error: { code: 'invalid-input', errors: [{ pointer: '/of' }] } })
    expect(lines[2]).toMatchObject({ status: 'failed', error: { code: 'no-threes' } })
    expect(lines.slice(3).map(({ output }) => output)).toEqual(items.slice(3).map(({ of }) => Number(of) ** 2))
    const own = await ask(api, new URL(lines[0]?.url ?? '', 'http://any').pathname)
    expect(await own.json()).toMatchObject({ id: lines[0]?.id, result: 1 })
  })

  test('a batch can be sent as JSON lines, and its results can be read page by page', async ({ lab }) => {
    const { api } = await open(lab)
    const id = await accepted(api, '{"of":1}\n{"of":2}\r\n\n{"of":3}\n', { 'content-type': 'application/x-ndjson' })
    await finished(api, id)
    const first = await linesOf(api, id, '?limit=2')
    expect(first.lines.map(({ output }) => output)).toEqual([1, 4])
    expect(first.link).toBe(`</squares/batches/${id}/results?after=1&limit=2>; rel="next"`)
    expect((await linesOf(api, id, '?after=1&limit=2')).lines.map(({ output }) => output)).toEqual([9])
  })

  test('an invalid batch request is refused with the reason', async ({ lab }) => {
    const { api } = await open(lab)
    const ndjson = { 'content-type': 'application/x-ndjson' }
    const refusals = [
      await post(api, { of: 1 }),
      await post(api, []),
      await post(api, Array(51).fill({ of: 1 })),
      await post(api, '{"of":1}\n{"of":', ndjson),
      await ask(api, '/squares', { method: 'POST', headers: ndjson, body: '{"of":1}' }),
    ]
    const seen = await Promise.all(
      refusals.map(async answer => [answer.status, ((await answer.json()) as Line & { code: string }).code]),
    )
    expect(seen).toEqual([
      [400, 'invalid-input'],
      [400, 'invalid-input'],
      [400, 'invalid-input'],
      [400, 'invalid-json'],
      [415, 'unsupported-media-type'],
    ])
    expect((await ask(api, '/squares/batches/x/results')).status).toBe(404)
  })

  test('requests with the same key are one batch, which other callers cannot see', async ({ lab }) => {
    const { api } = await open(lab)
    const key = { 'idempotency-key': '"batch-1"' }
    const id = await accepted(api, [{ of: 1 }, { of: 2 }], key)
    expect(await accepted(api, [{ of: 1 }, { of: 2 }], key)).toBe(id)
    expect((await post(api, [{ of: 3 }], key)).status).toBe(422)
    await finished(api, id)
    expect((await linesOf(api, id)).lines).toHaveLength(2)
    expect((await ask(api, `/squares/batches/${id}/results`, {}, 'eve')).status).toBe(404)
    const query = await ask(api, `/squares/batches/${id}/results?after=x`)
    expect(query.status).toBe(400)
  })

  test('a cancel cancels the unfinished items, and a retry submits only these again', async ({ lab }) => {
    let isOpen = false
    const ran: number[] = []
    const { api, waybill } = await open(lab, async (of, signal) => {
      if (of > 2) await until(() => isOpen || (signal as AbortSignal).aborted)
      ;(signal as AbortSignal).throwIfAborted()
      ran.push(of)
      return of * of
    })
    const id = await accepted(api, [{ of: 1 }, { of: 2 }, { of: 3 }, { of: 'x' }, { of: 5 }])
    await until(async () => ran.length === 2)
    await until(async () => (await linesOf(api, id)).lines.filter(it => it.status === 'completed').length === 2)
    expect((await status(api, id)).children).toEqual({ total: 5, completed: 2, failed: 1, canceled: 0 })
    expect((await ask(api, `/squares/batches/status/${id}`, { method: 'DELETE' })).status).toBeLessThan(300)
    await until(async () => (await linesOf(api, id)).lines.filter(it => it.status === 'canceled').length === 2)
    isOpen = true
    const retried = await ask(api, `/operations/${id}:retry`, { method: 'POST' })
    expect(retried.status).toBe(202)
    const { id: again } = (await retried.json()) as { id: string }
    expect(await finished(api, again)).toMatchObject({ batch: { total: 5, completed: 4, failed: 1, canceled: 0 } })
    const { lines } = await linesOf(api, again)
    expect(lines.map(({ output }) => output)).toEqual([1, 4, 9, undefined, 25])
    expect(ran.toSorted((a, b) => a - b)).toEqual([1, 2, 3, 5])
    // A completed batch is retried while some of its items did not complete.
    expect((await ask(api, `/operations/${again}:retry`, { method: 'POST' })).status).toBe(202)
    const whole = await accepted(api, [{ of: 1 }])
    await finished(api, whole)
    expect((await ask(api, `/operations/${whole}:retry`, { method: 'POST' })).status).toBe(409)
    expect((await waybill.store.countChildren(whole)).completed).toBe(1)
  })
})

describe('the limits of batches', () => {
  const codesOf = async (lab: TestContext, type: AnyOperationType, batches: AnyOperationType, bodies: unknown[]) => {
    const api = await serveNode(lab, await lab.waybill([type, batches]), { byHeader: true })
    const codes: unknown[] = []
    for (const body of bodies) {
      const headers = { 'content-type': JSON_TYPE, 'x-user': 'ann' }
      const answer = await api.ask('/things/batches', { method: 'POST', headers, body: JSON.stringify(body) })
      codes.push(((await answer.json()) as { code?: string }).code ?? answer.status)
    }
    return codes
  }
  const batch = [{}, {}, {}]

  test('are those of the type: each batch counts as one request', async ({ lab }) => {
    const type = defineOperation({ name: 'things', inFlightLimit: 2 })
    expect(await codesOf(lab, type, batchOf(type), [batch, batch, batch])).toEqual([202, 202, 'too-many-requests'])
    const rated = defineOperation({ name: 'things', rateLimit: { requests: 1, per: '1h' } })
    expect(await codesOf(lab, rated, batchOf(rated), [batch, batch])).toEqual([202, 'too-many-requests'])
  })

  test('can be their own', async ({ lab }) => {
    const type = defineOperation({ name: 'things', inFlightLimit: 2, rateLimit: { requests: 1, per: '1h' } })
    const own = batchOf(type, { inFlightLimit: 1, rateLimit: { requests: 10, per: '1h' } })
    expect(await codesOf(lab, type, own, [batch, batch])).toEqual([202, 'too-many-requests'])
    expect([own.policy.inFlightLimit, own.policy.rateLimit?.requests]).toEqual([1, 10])
    expect(() => batchOf(type, { inFlightLimit: 0 })).toThrow('inFlightLimit')
  })
})

test('a batch of an unlisted type or with invalid options is refused', async ({ lab }) => {
  await expect(lab.waybill([squareBatches])).rejects.toThrow('Add that type')
  expect(() => batchOf(squares, { maxItems: 0 })).toThrow(/batchOf\("squares"\).*maxItems/)
})
