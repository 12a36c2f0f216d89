/** The commands of an operator, over a store and over the admin API of a base URL. */
import fastify from 'fastify'
import { describe, expect } from 'vitest'
import { defineOperation, handler, ProblemError } from 'waybill'
import { waybill as plugin } from 'waybill/fastify'
import { sqliteStore } from 'waybill/stores/sqlite'
import { root } from '../../scripts/tools.ts'
import { isSuspended } from '../../src/model/operation.ts'
import type { Waybill } from '../../src/waybill.ts'
import { waybill as command, startWaybill } from '../support/cli.ts'
import { atLength } from '../support/length.ts'
import { startAzureApi } from '../support/public-apis.ts'
import { hasFinished, submit, type TestContext, test, when } from '../support/waybill.ts'

const orders = defineOperation({
  name: 'orders',
  input: { type: 'object', properties: { wish: { type: 'string' } } },
  attempts: 1,
})

/** Does what an order wishes. */
const processor = handler(orders, async (order, job) => {
  const { wish } = order as { wish?: string }
  job.log(`wish: ${wish}`)
  if (wish === 'fail') throw new ProblemError({ status: 422, title: 'Out of stock', code: 'out-of-stock' })
  if (wish === 'ask') {
    const approved = await job.ask('approval', { message: 'Ship it?', schema: { type: 'boolean' } })
    return { approved, carrier: await job.event('carrier') }
  }
  if (wish === 'parent') return await (await job.submit(orders, { wish: 'hold' })).result()
  if (wish !== 'hold') return { packed: true }
  job.progress(0.5, 'packing')
  return await new Promise((_, reject) => job.signal.addEventListener('abort', () => reject(job.signal.reason)))
})

interface Desk {
  readonly waybill: Waybill
  readonly url: string
  /** The options that name it, by store and by URL. */
  readonly by: { readonly store: string[]; readonly url: string[] }
}

async function open(lab: TestContext): Promise<Desk> {
  const path = lab.file()
  const waybill = await lab.waybill([orders], {
    store: sqliteStore({ path, synchronous: 'NORMAL' }),
    worker: { handlers: [processor] },
  })
  const app = fastify({ forceCloseConnections: true })
  const principal = (request: { headers: { authorization?: string | undefined } }) =>
    request.headers.authorization === 'Bearer t' ? ({ name: 'eve', role: 'operator' } as const) : undefined
  await app.register(plugin, { waybill, admin: { principal } })
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  lab.onEnd(() => app.close())
  const by = { store: ['--store', `sqlite:${path}`], url: ['--url', url, '--header', 'Authorization: Bearer t'] }
  return { waybill, url, by }
}

/** Over the admin API the operator does what it does in the process of the command. */
const WAYS = atLength<readonly ('store' | 'url')[]>(['url'], ['store', 'url'])

describe.for(WAYS)('by %s', way => {
  test('ls lists the operations that match a filter', async ({ lab }) => {
    const { waybill, by } = await open(lab)
    const failed = await submit(waybill, orders, { wish: 'fail' })
    await hasFinished(waybill.store, failed)
    await hasFinished(waybill.store, await submit(waybill, orders, {}))
    const { code, out } = await command(['ls', 'status:failed', 'since:1h', ...by[way]])
    expect(code).toBe(0)
    expect(out.trimEnd().split('\n')).toEqual([
      expect.stringMatching(/^ID /),
      expect.stringMatching(`^${failed} +orders .*failed .*Out of stock$`),
    ])
    const all = await command(['ls', '--json', ...by[way]])
    expect(all.out.trimEnd().split('\n')).toHaveLength(2)
    expect((await command(['ls', `key:${failed}`, ...by[way]])).out.trimEnd()).toMatch(/^ID .*NOTE$/)
  })

  test('show shows one operation, found by the end of its id', async ({ lab }) => {
    const { waybill, by } = await open(lab)
    const id = await submit(waybill, orders, { wish: 'fail' })
    await hasFinished(waybill.store, id)
    const { code, out } = await command(['show', id.slice(-6), '--payloads', ...by[way]])
    expect(code).toBe(0)
    expect(out).toMatch(new RegExp(`^id +${id}\n`))
    expect(out).toMatch(/\n {2}#1 .* failed .*Out of stock\n/)
    expect(out).toContain('wish: fail')
    expect(out).toContain('{"wish":"fail"}')
  })

  test('show counts the children of an operation, and names the parent of one', async ({ lab }) => {
    const { waybill, by } = await open(lab)
    const parent = await submit(waybill, orders, { wish: 'parent' })
    await when(waybill.store, parent, isSuspended)
    const shown = await command(['show', parent, ...by[way]])
    expect(shown.out).toMatch(/^children +1 unfinished, 0 completed, 0 failed, 0 canceled$/m)
    expect(shown.out).not.toMatch(/^parent /m)
    const [child = ''] = await waybill.store.listChildren({ parent, state: 'unfinished', limit: 1 })
    const { out } = await command(['show', child, ...by[way]])
    expect(out).toMatch(new RegExp(`^parent +${parent}$`, 'm'))
    expect(out).not.toMatch(/^children /m)
  })

  test('watch follows an operation by the end of its id, and cancel ends it', async ({ lab }) => {
    const { waybill, by } = await open(lab)
    const id = await submit(waybill, orders, { wish: 'hold' })
    await when(waybill.store, id, ({ progress }) => progress !== null)
    const watching = command(['watch', id.slice(-6), ...by[way]])
    await waybill.operator.cancel(id, { name: 'test' })
    const { code, out, err } = await watching
    expect(code).toBe(4)
    expect(out).toMatch(/ info {2}wish: hold\n/)
    expect(err).toMatch(new RegExp(`${id} canceled: .*\\n$`))
  })

  test('cancel cancels by an id or by one end of it, and says why it cannot', async ({ lab }) => {
    const { waybill, by } = await open(lab)
    const id = await submit(waybill, orders, { wish: 'hold' })
    await when(waybill.store, id, ({ status }) => status === 'running')
    expect(await command(['cancel', id, ...by[way]])).toEqual({ code: 0, out: `${id} asked to cancel\n`, err: '' })
    await hasFinished(waybill.store, id)
    expect(await command(['cancel', id.slice(0, 20), ...by[way]])).toMatchObject({ code: 0, out: `${id} canceled\n` })
    const done = await submit(waybill, orders, {})
    await hasFinished(waybill.store, done)
    const late = await command(['cancel', done, ...by[way]])
    expect([late.code, late.err]).toEqual([1, expect.stringMatching(`^${done} .*"completed"`)])
  })

  test('answer lists what an operation waits for, and answers it', async ({ lab }) => {
    const { waybill, by } = await open(lab)
    const id = await submit(waybill, orders, { wish: 'ask' })
    await when(waybill.store, id, ({ waits }) => waits !== null)
    const listed = await command(['answer', id.slice(-6), ...by[way]])
    expect([listed.code, listed.out.split('\n').slice(0, 2)]).toEqual([
      0,
      [expect.stringMatching(/^NAME +WAITS FOR +UNTIL +QUESTION$/), 'approval  an answer  -      Ship it?'],
    ])
    expect(listed.out).toContain('Schema of approval: {"type":"boolean"}')
    expect(JSON.parse((await command(['answer', id, '--json', ...by[way]])).out)).toMatchObject([{ name: 'approval' }])
    expect((await command(['ls', ...by[way]])).out).toContain(' waits for an answer to "approval"\n')
    expect((await command(['show', id, ...by[way]])).out).toContain('\nWaits for\n  approval  an answer  -  Ship it?\n')
    const early = await command(['answer', id, 'carrier', '{"name":"Ada"}', ...by[way]])
    expect(early).toEqual({ code: 0, out: `${id} does not wait yet, and keeps "carrier"\n`, err: '' })
    const wrong = await command(['answer', id, 'approval', '"perhaps"', ...by[way]])
    expect([wrong.code, wrong.err]).toEqual([1, expect.stringContaining('must be boolean')])
    const answered = await command(['answer', id, 'approval', 'true', ...by[way]])
    expect(answered).toEqual({ code: 0, out: `${id} took "approval"\n`, err: '' })
    await hasFinished(waybill.store, id)
    expect(await waybill.operator.output(id)).toBe('{"approved":true,"carrier":{"name":"Ada"}}')
    const none = await command(['answer', id, ...by[way]])
    expect(none.out).toBe(`${id} waits for nothing; its status is "completed".\n`)
    expect(await command(['answer', id, 'approval', 'true', ...by[way]])).toMatchObject({ code: 0 })
  })

  test('answer says what is missing, and what is not JSON', async ({ lab }) => {
    const { by } = await open(lab)
    const id = '01941f29-7c00-7000-8000-000000000001'
    const missing = await command(['answer', id, 'approval', ...by[way]])
    expect([missing.code, missing.err]).toEqual([2, expect.stringContaining('The value is missing')])
    const text = await command(['answer', id, 'approval', 'yes', ...by[way]])
    expect([text.code, text.err]).toEqual([2, expect.stringContaining(`"yes" is not JSON: `)])
    const unknown = await command(['answer', id, 'approval', 'true', ...by[way]])
    expect([unknown.code, unknown.err]).toEqual([1, expect.stringContaining('There is no operation')])
  })

  test('an unknown or ambiguous id is refused', async ({ lab }) => {
    const { waybill, by } = await open(lab)
    const ids = [await submit(waybill, orders, {}), await submit(waybill, orders, {})]
    const several = await command(['watch', `${ids[0]}`.slice(0, 4), ...by[way]])
    expect([several.code, several.err]).toEqual([2, expect.stringContaining('Several ids begin or end with')])
    expect(await command(['watch', 'ffff', ...by[way]])).toMatchObject({ code: 1 })
    expect(await command(['watch', 'abc', ...by[way]])).toMatchObject({
      code: 2,
      err: expect.stringContaining('at least 4'),
    })
    const unknown = await command(['watch', '01941f29-7c00-7000-8000-000000000001', ...by[way]])
    expect([unknown.code, unknown.err]).toEqual([1, expect.stringContaining('There is no operation')])
  })
})

describe('retry and delete over the admin API', () => {
  test('accept ids', async ({ lab }) => {
    const { waybill, by } = await open(lab)
    const id = await submit(waybill, orders, { wish: 'fail' })
    await hasFinished(waybill.store, id)
    const { code, out } = await command(['retry', id.slice(-6), '--fresh', ...by.url])
    const [, next = ''] = /is retried by (\S+)\n$/.exec(out) ?? []
    expect([code, (await waybill.store.read(next))?.retryOf]).toEqual([0, id])
    await hasFinished(waybill.store, next)
    expect((await command(['delete', next, ...by.url])).out).toBe(`${next} deleted\n`)
    expect(await waybill.operator.input(next)).toBeUndefined()
  })
})

describe('retry and delete', () => {
  const handlers = ['--handlers', `${root}examples/orders/processor.ts`]
  const order = { customer: 'Ada', items: [{ name: 'Tea', quantity: 1 }], wish: 'fail' }

  test('retry runs each failed operation again once', async ({ lab }) => {
    const { waybill, by } = await open(lab)
    const id = await submit(waybill, orders, order)
    await hasFinished(waybill.store, id)
    const { code, out } = await command(['retry', id.slice(-6), ...handlers, ...by.store])
    const [, next = ''] = /^\S+ is retried by (\S+)\n$/.exec(out) ?? []
    expect([code, (await waybill.store.read(next))?.retryOf]).toEqual([0, id])
    expect((await command(['retry', id, ...handlers, ...by.store])).out).toBe(out)
    const unknown = await command(['retry', id, ...by.store])
    expect([unknown.code, unknown.err]).toEqual([1, expect.stringContaining('Its type "orders" is not known here.')])
  })

  test('count the operations that match a filter before they act', async ({ lab }) => {
    const { waybill, by } = await open(lab)
    for (const wish of ['fail', 'fail', 'complete']) {
      await hasFinished(waybill.store, await submit(waybill, orders, { ...order, wish }))
    }
    const args = ['--filter', 'type:orders since:1h', ...by.store]
    const counted = await command(['retry', ...args, ...handlers])
    expect(counted.out).toMatch(
      /\n2 operations match\. Repeat the command with --yes to act\.\nPassed over: 1 completed\.\n$/,
    )
    expect((await waybill.operator.browse({})).items).toHaveLength(3)
    const { code, out } = await command(['retry', ...args, ...handlers, '--yes'])
    expect([code, out]).toEqual([0, expect.stringMatching(/^\S+ completed: 2 done, 0 skipped, 0 failed\n$/)])
    expect(await command(['retry', ...args, '--yes'])).toMatchObject({
      code: 2,
      err: expect.stringContaining('--handlers'),
    })
    const { items } = await waybill.operator.browse({})
    expect(items.filter(({ retryOf }) => retryOf !== null)).toHaveLength(2)
    expect(items.filter(({ retriedBy }) => retriedBy !== null)).toHaveLength(2)
  })

  test('delete payloads at once', async ({ lab }) => {
    const { waybill, by } = await open(lab)
    const id = await submit(waybill, orders, order)
    await hasFinished(waybill.store, id)
    expect(await command(['delete', id, ...by.store])).toEqual({ code: 0, out: `${id} deleted\n`, err: '' })
    expect(await waybill.operator.input(id)).toBeUndefined()
    expect((await command(['delete', '--filter', 'type:orders', ...by.store])).out).toMatch(/^0 operations match\./m)
    const other = await submit(waybill, orders, {})
    await hasFinished(waybill.store, other)
    const removed = await command(['delete', '--filter', 'type:orders', '--yes', ...by.store])
    expect(removed.out).toMatch(/^\S+ completed: 1 done, 0 skipped, 0 failed\n$/)
    expect(await waybill.operator.input(other)).toBeUndefined()
    const running = await submit(waybill, orders, { wish: 'hold' })
    await when(waybill.store, running, ({ status }) => status === 'running')
    expect(await command(['delete', running, ...by.store])).toMatchObject({ code: 1, out: '' })
  })

  test.for([
    [['retry'], 'Name the operations: by ids, or by --filter.'],
    [['delete', 'abcd', '--filter', 'x'], 'Give ids or --filter, not both.'],
    [['retry', '--filter', 'x', '--fresh'], '--fresh goes with ids.'],
    [['cancel', '--filter', 'state:x'], 'there is no "state"'],
  ] as const)('%j is refused with exit code 2', async ([args, message]) => {
    const { code, err } = await command([...args, '--store', 'sqlite:x.db'])
    expect([code, err]).toEqual([2, expect.stringContaining(message)])
  })
})

test.for(WAYS)('pause and resume a type, by %s', async (way, { lab }) => {
  const { waybill, by } = await open(lab)
  expect(await command(['pause', 'orders', ...by[way]])).toEqual({ code: 0, out: 'orders paused\n', err: '' })
  await expect.poll(() => [...waybill.operator.paused()]).toEqual(['orders'])
  expect((await command(['resume', 'orders', '--json', ...by[way]])).out).toBe('{"type":"orders","paused":false}\n')
  await expect.poll(() => [...waybill.operator.paused()]).toEqual([])
})

test('a bulk run over the admin API is previewed, and then done', async ({ lab }) => {
  const { waybill, by } = await open(lab)
  for (const _ of [1, 2]) await hasFinished(waybill.store, await submit(waybill, orders, { wish: 'fail' }))
  const counted = await command(['delete', '--filter', 'status:failed', ...by.url])
  expect(counted.out).toMatch(/\n2 operations match\. Repeat the command with --yes to act\.\n$/)
  const { code, out } = await command(['delete', '--filter', 'status:failed', '--yes', ...by.url])
  expect([code, out]).toEqual([0, expect.stringMatching(/^\S+ completed: 2 done, 0 skipped, 0 failed\n$/)])
})

test.for(WAYS)('stats and top show recent activity, by %s', async (way, { lab }) => {
  const { waybill, by } = await open(lab)
  for (const wish of ['complete', 'fail']) await hasFinished(waybill.store, await submit(waybill, orders, { wish }))
  const { code, out } = await command(['stats', ...by[way]])
  expect(code).toBe(0)
  expect(out).toMatch(/^The last 1 h\n/)
  expect(out).toMatch(/\naccepted +2 +[▁-█ ]+\n/)
  expect(out).toMatch(/\nfailed +1 \(50 %\) /)
  expect(out).toMatch(/\norders +0 +- +0\n/)
  expect(out).toMatch(/\nWhy operations failed\n {2}1 {2}out-of-stock\n/)
  const { types } = JSON.parse((await command(['stats', '--json', ...by[way]])).out)
  expect(types).toEqual([expect.objectContaining({ operation: 'orders', depth: 0, running: 0 })])
  const live = startWaybill(['top', '--interval', '20ms', ...by[way]])
  await live.writes('The last 1 h')
  live.child.kill('SIGTERM')
  expect((await live.ended).code).toBe(0)
})

describe('submit', () => {
  test('posts, waits, and prints the result', async ({ lab }) => {
    const { url, waybill } = await open(lab)
    const { code, out } = await command(['submit', `${url}/orders`, '--data', '{}', '--wait'])
    expect([code, JSON.parse(out)]).toEqual([0, expect.objectContaining({ result: { packed: true } })])
    const failed = await command(['submit', 'orders', '--url', url, '--data', '{"wish":"fail"}', '--wait'])
    expect(failed).toMatchObject({ code: 3, out: '', err: expect.stringMatching(/failed: Out of stock\n$/) })
    const invalid = await command(['submit', `${url}/orders`, '--data', '[]', '--wait'])
    expect(invalid.code).toBe(1)
    expect(invalid.err).toMatch(/^waybill submit: The input does not match the schema: .*object/)
    const first = await command(['submit', `${url}/orders`, '--key', 'k'])
    expect(first.out).toMatch(new RegExp(`^${url}/orders/status/`))
    expect((await command(['submit', `${url}/orders`, '--key', 'k'])).out).toBe(first.out)
    const later = JSON.parse((await command(['submit', `${url}/orders`, '--delay', '1h', '--json'])).out)
    expect((await waybill.store.read(later.id))?.status).toBe('pending')
  })

  test('submits to a store by the type of a handler file', async ({ lab }) => {
    const { by, waybill } = await open(lab)
    const order = '{"customer":"Ada","items":[{"name":"Tea","quantity":1}]}'
    const args = [
      'submit',
      'orders',
      '--handlers',
      `${root}examples/orders/processor.ts`,
      '--owner',
      'ann',
      ...by.store,
    ]
    const { code: exit, out, err } = await command([...args, '--data', order])
    expect({ exit, err }).toEqual({ exit: 0, err: '' })
    expect((await waybill.store.read(out.trim()))?.owner).toBe('ann')
  })
})

test('watch follows the status URL of any API', async () => {
  const { url } = await startAzureApi()
  const accepted = await fetch(`${url}/orders:process`, {
    method: 'POST',
    body: '{}',
    headers: { 'content-type': 'application/json' },
  })
  const { code, out, err } = await command(['watch', `${accepted.headers.get('operation-location')}`])
  expect([code, JSON.parse(out)]).toEqual([0, { packed: 1 }])
  expect(err).toContain('Running\n')
})

test('an API without the admin API and an API that denies access are reported', async ({ lab }) => {
  const { url, by } = await open(lab)
  const refused = await command(['ls', '--url', url])
  expect([refused.code, refused.err]).toEqual([1, expect.stringContaining('Authentication required')])
  const missing = await command(['ls', '--url', `${url}/elsewhere`, ...by.url.slice(2)])
  expect(missing.code).toBe(1)
})
