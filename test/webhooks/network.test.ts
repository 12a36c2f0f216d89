import tls from 'node:tls'
import { describe, expect } from 'vitest'
import type { Address } from 'waybill/webhooks'
import { deliveryId } from '../../src/webhooks/delivery.ts'
import { admitWebhookUrl } from '../../src/webhooks/webhooks.ts'
import { carrier, parcels, SELF_SIGNED, send, startReceiver, statuses, verified } from '../support/receiver.ts'
import { hasStatus, test, until } from '../support/waybill.ts'

const firstDelivery = (id: string) => deliveryId(id, 0)

/** Answers look-up by look-up; the last answer stays. */
function resolver(...answers: string[][]) {
  const asked: string[] = []
  const resolve = async (host: string): Promise<Address[]> => {
    asked.push(host)
    const found = answers[asked.length - 1] ?? answers.at(-1) ?? []
    return found.map(address => ({ address, family: address.includes(':') ? 6 : 4 }))
  }
  return { asked, resolve }
}

describe('a redirect', () => {
  test.for([301, 302, 303, 307, 308])('%i is a failure, and its target is never requested', async (status, { lab }) => {
    const target = await startReceiver(lab)
    const receiver = await startReceiver(lab, {
      answer: (_, response) => void response.writeHead(status, { Location: target.url }).end(),
    })
    const waybill = await carrier(lab, { retries: [0] })
    const id = await send(waybill, receiver.url)
    const delivery = await hasStatus(waybill.store, firstDelivery(id), 'failed')
    expect(delivery.error).toMatchObject({ reason: 'redirect', answerStatus: status })
    expect([receiver.got.length, target.got.length]).toEqual([2, 0])
  })
})

describe('the IP address', () => {
  test('that was checked is used for the connection, and the name is resolved once in each attempt', async ({
    lab,
  }) => {
    const [open, inner] = [
      await startReceiver(lab, { answer: statuses(500) }),
      await startReceiver(lab, { host: '127.0.0.2' }),
    ]
    const { asked, resolve } = resolver(['127.0.0.1'], ['127.0.0.2'])
    // The loopback's first address stands for the internet, its second one for the inner network.
    const allowAddress = (address: string) => address === '127.0.0.1'
    const waybill = await carrier(lab, { resolve, allowAddress, allowPrivate: false, retries: [0] })
    const id = await send(waybill, `http://rebinding.test:${open.port}/hooks`)
    const delivery = await hasStatus(waybill.store, firstDelivery(id), 'failed')
    expect(delivery.history.map(({ error }) => error?.reason)).toEqual(['answer', 'address'])
    expect(open.got.map(({ headers }) => headers.host)).toEqual([`rebinding.test:${open.port}`])
    expect(inner.got).toEqual([])
    expect(asked).toEqual(['rebinding.test', 'rebinding.test'])
  })

  test('is refused if one of several is not public, without a connection', async ({ lab }) => {
    const receiver = await startReceiver(lab)
    const { resolve } = resolver(['93.184.216.34', '127.0.0.1'])
    const waybill = await carrier(lab, { resolve, allowPrivate: false, retries: [] })
    const id = await send(waybill, `http://both.test:${receiver.port}/`)
    const delivery = await hasStatus(waybill.store, firstDelivery(id), 'failed')
    expect(delivery.error).toMatchObject({ reason: 'address', detail: expect.not.stringContaining('127') })
    expect(receiver.got).toEqual([])
  })

  test('is tried after another one has not answered', async ({ lab }) => {
    const receiver = await startReceiver(lab)
    const { resolve } = resolver(['127.0.0.3', '127.0.0.1'])
    const waybill = await carrier(lab, { resolve, retries: [] })
    const id = await send(waybill, `http://several.test:${receiver.port}/`)
    await hasStatus(waybill.store, firstDelivery(id), 'completed')
    expect(receiver.got).toHaveLength(1)
  })

  test('in the URL is checked again at the delivery, which fails at once', async ({ lab }) => {
    const receiver = await startReceiver(lab)
    const waybill = await carrier(lab, { allowPrivate: false })
    const id = await send(waybill, receiver.url)
    const delivery = await hasStatus(waybill.store, firstDelivery(id), 'failed')
    expect(delivery).toMatchObject({ attempt: 1, error: { reason: 'url' } })
    expect(receiver.got).toEqual([])
  })

  test('is found in the hosts file if no resolver is given', async ({ lab }) => {
    const receiver = await startReceiver(lab, { host: '127.0.0.1' })
    const waybill = await carrier(lab)
    const id = await send(waybill, `http://localhost:${receiver.port}/hooks`)
    await hasStatus(waybill.store, firstDelivery(id), 'completed')
    const lost = await send(waybill, `http://no-such-host.invalid:${receiver.port}/hooks`)
    const { error } = await hasStatus(waybill.store, firstDelivery(lost), 'failed')
    expect(error).toMatchObject({ reason: 'address' })
  })
})

describe('a receiver', () => {
  test('that is slow is aborted and retried', async ({ lab }) => {
    const receiver = await startReceiver(lab, {
      answer: (n, response) => void (n > 1 && response.writeHead(200).end()),
    })
    const waybill = await carrier(lab, { timeout: 300 })
    const id = await send(waybill, receiver.url)
    const delivery = await hasStatus(waybill.store, firstDelivery(id), 'completed')
    // On a busy machine the second answer can be late, too.
    expect(delivery.history[0]?.error).toMatchObject({ reason: 'timeout' })
    expect(receiver.got[1]?.body).toBe(receiver.got[0]?.body)
  })

  test('whose name is never resolved fails after the timeout', async ({ lab }) => {
    const waybill = await carrier(lab, { timeout: 50, retries: [], resolve: () => new Promise(() => {}) })
    const id = await send(waybill, 'http://hanging.test/')
    const { error } = await hasStatus(waybill.store, firstDelivery(id), 'failed')
    expect(error).toMatchObject({ reason: 'timeout' })
  })

  test('with an endless response is judged by its status code', async ({ lab }) => {
    const closed = Promise.withResolvers<void>()
    const receiver = await startReceiver(lab, {
      answer: (_, response) => {
        response.on('close', closed.resolve).on('error', () => {})
        response.writeHead(200)
        const pour = () => {
          while (!response.destroyed && response.write(Buffer.alloc(16_384))) {}
        }
        response.on('drain', pour)
        pour()
      },
    })
    const waybill = await carrier(lab)
    const id = await send(waybill, receiver.url)
    await hasStatus(waybill.store, firstDelivery(id), 'completed')
    await closed.promise
  })

  test('with a very slow response is judged by its status code, and uses no slot meanwhile', async ({ lab }) => {
    const closed = Promise.withResolvers<void>()
    const receiver = await startReceiver(lab, {
      answer: (_, response) => {
        response.writeHead(200)
        const drip = setInterval(() => response.write('.'), 50)
        response.on('close', () => {
          clearInterval(drip)
          closed.resolve()
        })
      },
    })
    // Longer than the test may take.
    const waybill = await carrier(lab, { timeout: '1m', concurrency: 1 })
    const ids = [await send(waybill, receiver.url), await send(waybill, receiver.url)]
    for (const id of ids) await hasStatus(waybill.store, firstDelivery(id), 'completed')
    await closed.promise
  })

  test('with a wrong clock is not retried later for that reason', async ({ lab }) => {
    const ahead = Date.now() + 3_600_000
    const dates = { Date: new Date(ahead).toUTCString(), 'Retry-After': new Date(ahead + 60_000).toUTCString() }
    const receiver = await startReceiver(lab, { answer: (_, response) => void response.writeHead(503, dates).end() })
    const waybill = await carrier(lab)
    const id = firstDelivery(await send(waybill, receiver.url))
    await until(async () => ((await waybill.store.read(id))?.history.length ?? 0) > 0)
    const { runAt, history } = (await waybill.store.read(id)) ?? {}
    const wait = (runAt ?? 0) - (history?.[0]?.finishedAt ?? 0)
    // A fifth more at random.
    expect([wait >= 60_000, wait <= 72_000]).toEqual([true, true])
  })

  test('whose response stops half-way is judged by its status code', async ({ lab }) => {
    const receiver = await startReceiver(lab, {
      answer: (_, response) => {
        response.writeHead(500, { 'Content-Length': '100' }).write('half', () => response.destroy())
      },
    })
    const waybill = await carrier(lab, { retries: [] })
    const id = await send(waybill, receiver.url)
    const { error } = await hasStatus(waybill.store, firstDelivery(id), 'failed')
    expect(error).toMatchObject({ reason: 'answer', answerStatus: 500 })
  })

  test('that breaks the connection or does not exist is retried', async ({ lab }) => {
    const receiver = await startReceiver(lab, {
      answer: (n, response) => void (n === 1 ? response.destroy() : response.writeHead(204).end()),
    })
    const waybill = await carrier(lab)
    const id = await send(waybill, receiver.url)
    const { history } = await hasStatus(waybill.store, firstDelivery(id), 'completed')
    expect(history[0]?.error).toMatchObject({ reason: 'connection', detail: expect.stringContaining('ECONNRESET') })
    const nobody = await send(waybill, 'http://127.0.0.1:1/')
    const { error } = await hasStatus(waybill.store, firstDelivery(nobody), 'failed')
    expect(error).toMatchObject({ reason: 'connection', detail: expect.stringContaining('ECONNREFUSED') })
  })
})

describe('a receiver that never answers', () => {
  test.for([40, 200])('with %i deliveries does not delay those of other receivers', async (count, { lab }) => {
    const arrived: string[] = []
    const slow = await startReceiver(lab, { answer: n => void arrived.push(`slow ${n}`) })
    const quick = await startReceiver(lab)
    // Longer than the test may take: what the slow one has been sent ends by the shutdown.
    const waybill = await carrier(lab, { timeout: '1m', concurrency: 8 })
    await Promise.all(Array.from({ length: count }, () => send(waybill, slow.url, 'ok', 'ann')))
    await until(() => arrived.length >= 2)
    for (const owner of ['ann', 'bob', '']) {
      await hasStatus(waybill.store, firstDelivery(await send(waybill, quick.url, 'ok', owner)), 'completed')
    }
    expect(quick.got).toHaveLength(3)
    // A quarter of the slots, for one host.
    expect(arrived).toHaveLength(2)
  })
})

describe('TLS', () => {
  test('requires a trusted certificate', async ({ lab }) => {
    const receiver = await startReceiver(lab, { tls: SELF_SIGNED })
    const { resolve } = resolver(['127.0.0.1'])
    const waybill = await carrier(lab, { resolve, allowHttp: false, retries: [] })
    const id = await send(waybill, `https://hooks.test:${receiver.port}/hooks`)
    const { error } = await hasStatus(waybill.store, firstDelivery(id), 'failed')
    expect(error).toMatchObject({ reason: 'connection', detail: expect.stringContaining('SELF_SIGNED_CERT') })
    expect(receiver.got).toEqual([])
  })

  test.skipIf(tls.setDefaultCACertificates === undefined)(
    'verifies the name of the host, whatever its address',
    async ({ lab }) => {
      const before = tls.getCACertificates('default')
      lab.onEnd(() => tls.setDefaultCACertificates(before))
      tls.setDefaultCACertificates([...before, SELF_SIGNED.cert])
      const receiver = await startReceiver(lab, { tls: SELF_SIGNED })
      const { resolve } = resolver(['127.0.0.1'])
      const waybill = await carrier(lab, { resolve, allowHttp: false, retries: [] })
      const id = await send(waybill, `https://hooks.test:${receiver.port}/hooks`)
      await hasStatus(waybill.store, firstDelivery(id), 'completed')
      expect(receiver.got.map(got => verified(got).data.id)).toEqual([id])
      const other = await send(waybill, `https://other.test:${receiver.port}/hooks`)
      const { error } = await hasStatus(waybill.store, firstDelivery(other), 'failed')
      expect(error).toMatchObject({ detail: expect.stringContaining('ERR_TLS_CERT_ALTNAME_INVALID') })
    },
  )
})

describe('the submission', () => {
  test('accepts a URL only if the composition sends webhooks and the type allows them', async ({ lab }) => {
    const { webhooks } = await carrier(lab, { allowHttp: false, allowPrivate: false })
    const silent = { ...parcels, policy: { ...parcels.policy, allowWebhooks: false } }
    const refused = (code: string) =>
      expect.objectContaining({ problem: expect.objectContaining({ status: 400, code }) })
    expect(admitWebhookUrl(webhooks, parcels, 'https://example.com')).toBe('https://example.com/')
    expect(admitWebhookUrl(webhooks, silent, undefined)).toBeUndefined()
    expect(() => admitWebhookUrl(webhooks, silent, 'https://example.com')).toThrow(refused('webhooks-not-allowed'))
    expect(() => admitWebhookUrl(undefined, parcels, 'https://example.com')).toThrow(refused('webhooks-not-allowed'))
    for (const url of ['http://example.com', 'https://example.com/a, https://example.com/b', 'https://example.com/ü'])
      expect(() => admitWebhookUrl(webhooks, parcels, url)).toThrow(refused('invalid-webhook-url'))
  })
})
