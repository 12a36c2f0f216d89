/** What became of webhooks, sending them once more, and what operators did: over a store and over the admin API. */
import fastify from 'fastify'
import { describe, expect } from 'vitest'
import { waybill as plugin } from 'waybill/fastify'
import { sqliteStore } from 'waybill/stores/sqlite'
import { deliveryId } from '../../src/webhooks/delivery.ts'
import { waybill as command } from '../support/cli.ts'
import { carrier, parcels, send, startReceiver, statuses } from '../support/receiver.ts'
import { hasFinished, hasStatus, submit, type TestContext, test } from '../support/waybill.ts'

async function open(lab: TestContext) {
  const path = lab.file()
  const waybill = await carrier(lab, {}, { store: sqliteStore({ path, synchronous: 'NORMAL' }) })
  const app = fastify({ forceCloseConnections: true })
  await app.register(plugin, { waybill, admin: { principal: () => ({ name: 'eve', role: 'operator' }) } })
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  lab.onEnd(() => app.close())
  return { waybill, by: { store: ['--store', `sqlite:${path}`], url: ['--url', url] } }
}

describe.for(['store', 'url'] as const)('by %s', way => {
  test('webhooks shows each delivery with its attempts, and replay sends the webhook again', async ({ lab }) => {
    const { waybill, by } = await open(lab)
    const receiver = await startReceiver(lab, { answer: statuses(503, 204) })
    const id = await send(waybill, receiver.url, 'ok', 'alice')
    await hasStatus(waybill.store, deliveryId(id, 0), 'completed')
    const shown = await command(['webhooks', id.slice(-6), ...by[way]])
    expect([shown.code, shown.out.trimEnd().split('\n')]).toEqual([
      0,
      [
        expect.stringMatching(`^${deliveryId(id, 0)}  completed  \\S+Z  ${receiver.url}$`),
        expect.stringMatching(/^ {2}#1 {2}\S+Z .* failed +503 {2}The receiver answered 503\./),
        expect.stringMatching(/^ {2}#2 {2}\S+Z .* completed +204$/),
      ],
    ])
    const again = await command(['replay', id.slice(-6), ...by[way]])
    expect(again).toEqual({ code: 0, out: `${id} is sent again by ${deliveryId(id, 1)}\n`, err: '' })
    await hasStatus(waybill.store, deliveryId(id, 1), 'completed')
    expect(receiver.got).toHaveLength(3)
    const third = await command(['replay', deliveryId(id, 0), '--json', ...by[way]])
    expect(JSON.parse(third.out)).toMatchObject({ id: deliveryId(id, 2), number: 2, url: receiver.url })
    const all = JSON.parse((await command(['webhooks', id, '--json', ...by[way]])).out)
    expect(all).toMatchObject([{ number: 0 }, { number: 1 }, { number: 2 }])
  })

  test('replay sends the webhooks of operations that match a filter', async ({ lab }) => {
    const { waybill, by } = await open(lab)
    const receiver = await startReceiver(lab)
    const id = await send(waybill, receiver.url, 'ok', 'alice')
    await hasStatus(waybill.store, deliveryId(id, 0), 'completed')
    await hasFinished(waybill.store, await submit(waybill, parcels, 'ok'))
    const all = ['replay', '--filter', 'type:parcel-runs', ...by[way]]
    expect((await command(all)).out).toMatch(
      /\n1 operation matches\. Repeat the command with --yes to act\.\nPassed over: 1 without a webhook\.\n$/,
    )
    expect((await command([...all, '--yes'])).out).toMatch(/^\S+ completed: 1 done, 0 skipped, 0 failed\n$/)
    await hasStatus(waybill.store, deliveryId(id, 1), 'completed')
    expect(receiver.got).toHaveLength(2)
  })

  test('webhooks reports an operation without a webhook, and replay refuses it', async ({ lab }) => {
    const { waybill, by } = await open(lab)
    const id = await submit(waybill, parcels, 'ok')
    await hasFinished(waybill.store, id)
    const none = await command(['webhooks', id, ...by[way]])
    expect(none).toEqual({ code: 0, out: `${id} has no webhook.\n`, err: '' })
    const refused = await command(['replay', id, ...by[way]])
    expect([refused.code, refused.err]).toEqual([1, expect.stringMatching(`^${id} .*webhook`)])
    const unknown = await command(['replay', '01941f29-7c00-7000-8000-000000000001', ...by[way]])
    expect(unknown).toMatchObject({ code: 1, err: expect.stringContaining('01941f29') })
  })

  test('audit lists what operators did, page by page', async ({ lab }) => {
    const { waybill, by } = await open(lab)
    const id = await submit(waybill, parcels, 'wait')
    await waybill.operator.pause('parcel-runs', { name: 'ann' })
    await waybill.operator.cancel(id, { name: 'bob' })
    await waybill.operator.resume('parcel-runs', { name: 'ann' })
    const { code, out, err } = await command(['audit', ...by[way]])
    const lines = out.trimEnd().split('\n')
    expect([code, err, lines[0]]).toEqual([0, '', expect.stringMatching(/^WHEN +WHO +WHAT +TARGET +COUNT +DETAIL$/)])
    // Those of one millisecond are in no order.
    expect(lines.slice(1).sort((a, b) => a.slice(24).localeCompare(b.slice(24)))).toEqual([
      expect.stringMatching(/^\S+Z {2}ann {2}pause +parcel-runs +1$/),
      expect.stringMatching(/^\S+Z {2}ann {2}resume +parcel-runs +1$/),
      expect.stringMatching(`^\\S+Z  bob  cancel +${id} +1$`),
    ])
    const first = await command(['audit', '--limit', '2', '--json', ...by[way]])
    expect(first.out.trimEnd().split('\n')).toHaveLength(2)
    const [, after = ''] = /repeat the command with --after (\S+)\.\n$/.exec(first.err) ?? []
    const rest = await command(['audit', '--after', after, '--json', ...by[way]])
    expect(rest.out.trimEnd().split('\n')).toHaveLength(1)
    expect(first.out).not.toContain(JSON.parse(rest.out).id)
  })
})
