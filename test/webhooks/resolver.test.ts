/** Names of strangers: their name servers may be silent forever, and nothing else may wait for them. */
import { createSocket } from 'node:dgram'
import { lookup } from 'node:dns/promises'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect } from 'vitest'
import { hostResolver } from 'waybill/webhooks'
import { deliveryId } from '../../src/webhooks/delivery.ts'
import { carrier, send, startReceiver } from '../support/receiver.ts'
import { hasStatus, type TestContext, test, until } from '../support/waybill.ts'

/** A name server that answers nothing, and the names it was asked for. */
async function silentServer(lab: TestContext) {
  const asked: string[] = []
  const socket = createSocket('udp4')
  socket.on('message', message => asked.push(nameIn(message)))
  await new Promise<void>(resolve => socket.bind(0, '127.0.0.1', resolve))
  lab.onEnd(() => socket.close())
  return { asked, servers: [`127.0.0.1:${socket.address().port}`] }
}

/** The name of a question: labels, each after its length, from the thirteenth byte on. */
function nameIn(message: Buffer): string {
  const labels: string[] = []
  for (let at = 12; message[at]; at += 1 + (message[at] ?? 0)) {
    labels.push(message.toString('latin1', at + 1, at + 1 + (message[at] ?? 0)))
  }
  return labels.join('.')
}

async function hostsFile(lab: TestContext, text: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'waybill-hosts-'))
  lab.onEnd(() => rm(folder, { recursive: true }))
  await writeFile(join(folder, 'hosts'), text)
  return join(folder, 'hosts')
}

const lookupOf = (owner: string, signal = new AbortController().signal) => ({ owner, signal })

describe('silent name servers', () => {
  test('delay no other look-up of the process, and no other delivery', async ({ lab }) => {
    const { asked, servers } = await silentServer(lab)
    const receiver = await startReceiver(lab)
    const waybill = await carrier(lab, { resolve: hostResolver({ servers }), timeout: '1m' })
    for (let n = 0; n < 12; n++) await send(waybill, `http://silent.host${n}.test/`, 'ok', `owner ${n}`)
    await until(() => new Set(asked).size === 12)
    expect(await lookup('localhost')).toMatchObject({ address: expect.any(String) })
    const id = await send(waybill, `http://localhost:${receiver.port}/hooks`)
    await hasStatus(waybill.store, deliveryId(id, 0), 'completed')
  })

  test('are asked for a few names of one owner at a time, and concurrently for names of others', async ({ lab }) => {
    const { asked, servers } = await silentServer(lab)
    const resolve = hostResolver({ servers })
    const stop = new AbortController()
    const hosts = Array.from({ length: 10 }, (_, n) => `a.host${n}.test`)
    const looked = hosts.map(host => resolve(host, lookupOf('ann', stop.signal)).catch(() => 'none'))
    const others = resolve('b.other.test', lookupOf('bob', stop.signal)).catch(() => 'none')
    await until(() => asked.includes('b.other.test') && new Set(asked).size === 5)
    stop.abort()
    // An abort ends those that are asked for and those that wait: nothing holds anything any more.
    expect(await Promise.all([...looked, others])).toEqual(Array.from({ length: 11 }, () => 'none'))
    expect(new Set(asked).size).toBe(5)
  })

  test('are remembered separately for each owner', async ({ lab }) => {
    const { asked, servers } = await silentServer(lab)
    const resolve = hostResolver({ servers })
    const ask = async (host: string, owner: string) => {
      const stop = new AbortController()
      const before = asked.length
      const looked = resolve(host, lookupOf(owner, stop.signal)).catch((error: Error) => error.message)
      const ended = await Promise.race([looked, until(() => asked.length > before).then(() => undefined)])
      stop.abort()
      await looked
      return ended
    }
    expect(await ask('one.silent.test', 'ann')).toBeUndefined()
    expect(await ask('two.silent.test', 'ann')).toContain('silent')
    expect(await ask('two.silent.test', 'bob')).toBeUndefined()
    expect(await ask('two.other.test', 'ann')).toBeUndefined()
  })
})

test('the hosts file comes first: every address of a name in any case, without comments', async ({ lab }) => {
  const { asked, servers } = await silentServer(lab)
  const file = await hostsFile(
    lab,
    '# 9.9.9.9 first.test\n10.0.0.1\tFirst.test other.test # x\n::1 first.test\nnone first.test\n',
  )
  const resolve = hostResolver({ servers, hostsFile: file })
  expect(await resolve('first.TEST', lookupOf('ann'))).toEqual([
    { address: '10.0.0.1', family: 4 },
    { address: '::1', family: 6 },
  ])
  expect(await resolve('other.test', lookupOf('ann'))).toEqual([{ address: '10.0.0.1', family: 4 }])
  expect(asked).toEqual([])
})
