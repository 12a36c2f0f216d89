/** The Azure Storage queue as a scale trigger: the real SDK, a queue on this machine, real processes. */
import { fileURLToPath } from 'node:url'
import { QueueClient } from '@azure/storage-queue'
import { describe, expect, onTestFinished, vi } from 'vitest'
import { receiveScaleRequest, type StorageQueueClient, storageQueue } from 'waybill/launchers/azure-storage-queue'
import { sqliteStore } from 'waybill/stores/sqlite'
import { nextRequest } from '../../src/launchers/autoscaler.ts'
import type { AutoscaleOptions } from '../../src/waybill.ts'
import { waybillProcess as command, startWaybill } from '../support/cli.ts'
import { type Act, handlerFile, play, plays } from '../support/handlers.ts'
import { onlyLong } from '../support/length.ts'
import { type LocalQueue, localQueue } from '../support/storage-queue.ts'
import { hasFinished, KeptLog, submit, type TestContext, test, until } from '../support/waybill.ts'

const type = plays()
const handlers = fileURLToPath(handlerFile('plays'))

/** An API that does no work, a queue, and what an execution of the drain needs. */
async function laid(lab: TestContext, autoscale: Partial<AutoscaleOptions> = {}) {
  const path = lab.file()
  const queue = await localQueue(lab)
  const store = await lab.store(path)
  const logger = new KeptLog()
  const trigger = storageQueue(queue.client())
  const api = await lab.waybill([type], {
    store: sqliteStore({ path, synchronous: 'NORMAL' }),
    logger,
    autoscale: { trigger, pollInterval: 20, ...autoscale },
  })
  const args = ['work', handlers, '--store', `sqlite:${path}`, '--until-idle', '--idle', '0s', '--queue', queue.url]
  return { api, queue, store, logger, args, submit: (...acts: Act[]) => submit(api, type, play(...acts)) }
}

test('the real client fits the interface', () => {
  const client: StorageQueueClient = new QueueClient('https://account.queue.core.windows.net/orders')
  expect(storageQueue(client)).toHaveProperty('request')
})

describe('the API', () => {
  test('requests one execution for each share of the backlog, up to maxExecutions', async ({ lab }) => {
    const { queue, submit } = await laid(lab, { operationsPerExecution: 4, maxExecutions: 2 })
    expect(queue.requests).toEqual([])
    await submit({ do: 'return' })
    await until(() => queue.living.length === 1)
    await Promise.all(Array.from({ length: 20 }, () => submit({ do: 'return' })))
    await until(() => queue.living.length === 2)
    // It has polled again since then, and two is the maximum.
    const sent = () => queue.requests.filter(it => it === 'POST').length
    await submit({ do: 'return' })
    expect([queue.living.length, sent()]).toEqual([2, 2])
  })

  test('repeats the request after the queue was unreachable', async ({ lab }) => {
    const { queue, logger, submit } = await laid(lab)
    queue.refuse = () => 503
    await submit({ do: 'return' })
    await until(() => logger.lines.some(({ message }) => message === 'Could not request executions; will retry'))
    queue.refuse = () => undefined
    await until(() => queue.living.length === 1)
  })

  test('repeats a request less and less often while no execution comes, and sends more at once for a larger backlog', () => {
    let request = nextRequest({ first: 'a', executions: 1 }, undefined, 0)
    const waits: (number | undefined)[] = []
    for (let n = 0; n < 8; n++) {
      waits.push(request?.patienceMs)
      expect(nextRequest({ first: 'a', executions: 1 }, request, (request?.until ?? 0) - 1)).toBeUndefined()
      request = nextRequest({ first: 'a', executions: 1 }, request, request?.until ?? 0)
    }
    expect(waits.map(ms => (ms ?? 0) / 1000)).toEqual([30, 60, 120, 240, 480, 900, 900, 900])
    expect(nextRequest({ first: 'a', executions: 3 }, request, 0)).toEqual({ ...request, executions: 3 })
    expect(nextRequest({ first: 'b', executions: 1 }, request, 0)).toMatchObject({ patienceMs: 30_000 })
  })
})

describe('an execution', () => {
  test('drains the backlog and deletes its message at the end', async ({ lab }) => {
    const { api, queue, store, args, submit } = await laid(lab)
    const ids = [await submit({ do: 'return' }), await submit({ do: 'block', ms: 300 })]
    await until(() => queue.living.length === 1)
    // While one of the two is claimed, it would request another execution for the other one.
    await api.stop()
    expect(await command([...args, '--concurrency', '1'])).toMatchObject({ code: 0, err: '' })
    for (const id of ids) expect((await hasFinished(store, id)).status).toBe('completed')
    expect(queue.living).toEqual([])
    expect(queue.requests.filter(it => it === 'GET' || it === 'DELETE')).toEqual(['GET', 'DELETE'])
  })

  onlyLong(() => {
    test('exits 0 and deletes its message if others have done the work', async ({ lab }) => {
      const { queue, args } = await laid(lab)
      await queue.client().sendMessage('work', { messageTimeToLive: 60 })
      expect(await command(args)).toMatchObject({ code: 0, err: '' })
      expect(queue.living).toEqual([])
    })
  })()

  test('makes its message visible at once if it is stopped with work left', async ({ lab }) => {
    const { queue, store, args, submit } = await laid(lab)
    const id = await submit({ do: 'wait' }, { do: 'return' })
    await until(() => queue.living.length === 1)
    const { child, ended } = startWaybill(args)
    await until(async () => (await store.read(id))?.status === 'running')
    const [held] = queue.living
    // The API has requested another one where the process took half a minute to come up.
    expect(queue.visible).not.toContain(held)
    child.kill('SIGTERM')
    expect(await ended).toMatchObject({ code: 0 })
    // The API may have requested one too, as soon as the work was handed back.
    expect(queue.visible).toContain(held)
  })

  test('leaves its message if it dies, and the message is deleted after maxDequeueCount executions', async ({
    lab,
  }) => {
    const queue = await localQueue(lab)
    const client = queue.client()
    await client.sendMessage('work', { messageTimeToLive: 3600 })
    const warnings: string[] = []
    const die = () => receiveScaleRequest(client, { maxDequeueCount: 3, warn: message => warnings.push(message) })
    for (let n = 0; n < 3; n++) {
      await die()
      expect([queue.living.length, queue.visible.length, warnings]).toEqual([1, 0, []])
      queue.ahead += 60_001
      expect(queue.visible).toHaveLength(1)
    }
    await die()
    expect(queue.living).toEqual([])
    expect(warnings).toEqual([expect.stringContaining('3 executions received the same message')])
  })

  test('works without the queue if the queue is unreachable', async ({ lab }) => {
    const { queue, store, args, submit } = await laid(lab)
    const id = await submit({ do: 'return' })
    queue.refuse = ({ method }) => (method === 'GET' ? 403 : undefined)
    const { code, err } = await command(args)
    expect([code, err]).toEqual([0, expect.stringContaining('Queue unreachable; continuing without it')])
    expect((await hasFinished(store, id)).status).toBe('completed')
  })

  onlyLong(() => {
    test('reports an invalid queue URL', async ({ lab }) => {
      const { args } = await laid(lab)
      const wrong = await command([...args.slice(0, -1), 'orders'])
      expect(wrong).toMatchObject({ code: 2, err: expect.stringContaining('The queue must be a URL such as https://') })
    })
  })()
})

test('a message stays invisible until it is completed or released, and completing it twice is harmless', async ({
  lab,
}) => {
  const queue: LocalQueue = await localQueue(lab)
  await queue.client().sendMessage('work', { messageTimeToLive: 3600 })
  const warnings: string[] = []
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  onTestFinished(() => void vi.useRealTimers())
  const request = await receiveScaleRequest(queue.client(), { warn: message => warnings.push(message) })
  expect(queue.visible).toEqual([])
  for (const times of [1, 2, 3]) {
    queue.ahead += 40_000
    vi.advanceTimersByTime(20_000)
    await until(() => queue.requests.filter(it => it === 'PUT').length === times)
    expect([queue.living.length, queue.visible.length]).toEqual([1, 0])
  }
  await request.release()
  expect(queue.visible).toHaveLength(1)
  await request.complete()
  await request.complete()
  expect(queue.living).toEqual([])
  expect(warnings).toEqual([expect.stringContaining('Could not update or delete the queue message')])
})
