/** How bodies and keys may be written, and what becomes of bodies that do not come to their end. */
import { createServer } from 'node:http'
import { connect } from 'node:net'
import { gzipSync } from 'node:zlib'
import { describe, expect } from 'vitest'
import { nodeListener } from 'waybill/node'
import { countOf } from '../support/http.ts'
import { orders } from '../support/order-server.ts'
import { type Api, postJson, SERVERS } from '../support/servers.ts'
import { KeptLog, type TestContext, test, until } from '../support/waybill.ts'

async function open(lab: TestContext, name: string, logger?: KeptLog) {
  const waybill = await lab.waybill([orders], logger === undefined ? {} : { logger })
  const door = SERVERS[name]
  if (door === undefined) throw new Error(`There is no ${name}.`)
  return { waybill, api: await door(lab, waybill) }
}

async function answerTo(api: Api, headers: Record<string, string>, body: BodyInit = '{"wish":"complete"}') {
  const answer = await api.ask('/orders', { ...postJson(null, headers), body })
  const { code } = (await answer.json()) as { code?: string }
  return [answer.status, code, answer.headers.get('accept-encoding')]
}

describe.each(Object.keys(SERVERS))('over %s', name => {
  test('a body in a content coding is refused, and the answer names the accepted codings', async ({ lab }) => {
    const { waybill, api } = await open(lab, name)
    const zipped = gzipSync('{"wish":"complete"}')
    for (const coding of ['gzip', 'GZIP', 'br', 'identity, gzip', 'x']) {
      const refused = [415, 'unsupported-content-coding', 'identity']
      expect([coding, await answerTo(api, { 'content-encoding': coding }, zipped)]).toEqual([coding, refused])
    }
    expect(await countOf(waybill.store, orders)).toBe(0)
    for (const coding of ['identity', 'Identity', '']) {
      expect([coding, await answerTo(api, { 'content-encoding': coding })]).toEqual([coding, [202, undefined, null]])
    }
  })

  test('a charset that is not UTF-8 is refused', async ({ lab }) => {
    const { waybill, api } = await open(lab, name)
    const type = (parameters: string) => ({ 'content-type': `application/json${parameters}` })
    for (const parameters of [
      '; charset=utf-16',
      ';charset=ISO-8859-1',
      '; charset="utf-16"',
      '; a=b; Charset=utf-16le',
      '; charset=utf-88',
    ]) {
      const refused = [415, 'unsupported-media-type', null]
      expect([parameters, await answerTo(api, type(parameters))]).toEqual([parameters, refused])
    }
    expect(await countOf(waybill.store, orders)).toBe(0)
    for (const parameters of [
      '',
      '; charset=utf-8',
      ';charset=UTF-8',
      '; charset="UTF-8"',
      '; charset=us-ascii',
      '; a=b; charset=utf-8; c=d',
      '; profile="x"',
    ]) {
      expect([parameters, await answerTo(api, type(parameters))]).toEqual([parameters, [202, undefined, null]])
    }
  })

  test('a key may have parameters, which are not part of it', async ({ lab }) => {
    const { waybill, api } = await open(lab, name)
    const keys = ['"qq"', '"qq"; a=1', '"qq";a', '"qq";a="x, \\"y"; *b=?1;c=:YQ==:', 'qq']
    for (const key of keys) {
      expect([key, await answerTo(api, { 'idempotency-key': key })]).toEqual([key, [202, undefined, null]])
    }
    expect(await countOf(waybill.store, orders)).toBe(1)
    for (const key of ['"qq" a=1', '"qq";', '"qq"; A=1', '"qq", "rr"', '"qq"; a="']) {
      expect([key, await answerTo(api, { 'idempotency-key': key })]).toEqual([
        key,
        [400, 'invalid-idempotency-key', null],
      ])
    }
  })
})

test('a client that disconnects while it sends is not an error', async ({ lab }) => {
  const logger = new KeptLog()
  const waybill = await lab.waybill([orders], { logger })
  let answered = 0
  const listen = nodeListener(waybill)
  const server = createServer((message, response) => {
    response.once('close', () => {
      answered++
    })
    listen(message, response)
  }).listen(0, '127.0.0.1')
  lab.onEnd(() => server.close())
  await until(() => server.listening)
  const { port } = server.address() as { port: number }
  const head = 'POST /orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{'
  for (const leave of ['destroy', 'resetAndDestroy', 'end'] as const) {
    const socket = connect(port, '127.0.0.1', () => socket.write(head, () => socket[leave]()))
    socket.on('error', () => {})
  }
  await until(() => answered === 3)
  await new Promise(resolve => setImmediate(resolve))
  expect(logger.lines.filter(({ level }) => level === 'error')).toEqual([])
})
