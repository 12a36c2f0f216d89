/** Each call that a request makes of the store, or of the blob store, fails once in each way. */
import { join } from 'node:path'
import type { FastifyInstance, InjectOptions } from 'fastify'
import { afterAll, beforeAll, describe, expect } from 'vitest'
import { defineOperation, handler, media } from 'waybill'
import { folderBlobs } from 'waybill/blobs/folder'
import { FAULTS, Faults } from '../support/faults.ts'
import { problemOf, serve } from '../support/http.ts'
import { collectUnhandled } from '../support/unhandled.ts'
import { hasFinished, TestContext, test, until } from '../support/waybill.ts'

const type = defineOperation({ name: 'files', retention: 0, exposeLogs: true })
const kept = defineOperation({ name: 'kept', exposeLogs: true })
const waiting = defineOperation({ name: 'waiting' })

interface Call {
  readonly method: string
  /** The calls of the method that go well before the one that fails. Default 0. */
  readonly after?: number
  readonly request: (ids: Ids) => InjectOptions
  /** The status of the answer where the call fails: 503 unless the answer does without it. */
  readonly status?: number
}

/** One that has finished, and one that stays pending. */
interface Ids {
  readonly finished: string
  readonly pending: string
}

const submit = { method: 'POST', url: '/waiting', payload: {} } as const
const events = { accept: 'text/event-stream' }

const CALLS: Record<string, Call> = {
  'the accept of a submission': { method: 'accept', request: () => submit },
  'the accept of a submission with a key': {
    method: 'accept',
    request: () => ({ ...submit, headers: { 'idempotency-key': crypto.randomUUID() } }),
  },
  'the read of a submission that waits': {
    method: 'read',
    request: () => ({ ...submit, headers: { prefer: 'wait=1' } }),
    status: 202,
  },
  'the read of a status': { method: 'read', request: ({ pending }) => ({ url: `/waiting/status/${pending}` }) },
  'the read of a status that is waited for': {
    method: 'read',
    after: 1,
    request: ({ pending }) => ({ url: `/waiting/status/${pending}`, headers: { prefer: 'wait=1' } }),
    status: 200,
  },
  'the read before an event stream': {
    method: 'read',
    request: ({ finished }) => ({ url: `/kept/status/${finished}`, headers: events }),
  },
  'the read of a result': { method: 'readWithOutput', request: ({ finished }) => ({ url: `/kept/${finished}` }) },
  'the blob of a result': { method: 'get', request: ({ finished }) => ({ url: `/kept/${finished}` }) },
  'the read before a cancel': {
    method: 'read',
    request: ({ pending }) => ({ method: 'DELETE', url: `/waiting/status/${pending}` }),
  },
  'the change of a cancel': {
    method: 'change',
    request: ({ pending }) => ({ method: 'DELETE', url: `/waiting/status/${pending}` }),
  },
  'the read of a list': { method: 'list', request: () => ({ url: '/waiting' }) },
}

describe('a request', () => {
  const lab = new TestContext()
  const faults = new Faults()
  const unhandled = collectUnhandled()
  let app: FastifyInstance
  let finished: string

  beforeAll(async () => {
    const store = await lab.store()
    const blobs = folderBlobs({ path: join(lab.file(), '..', 'results') })
    const file = () => media('content', { type: 'text/plain' })
    ;({ app } = await serve(lab, [type, kept, waiting], {
      store: faults.of(store),
      blobs: faults.of(blobs),
      storeTimeout: 200,
      listing: true,
      sweepInterval: '1h',
      worker: { handlers: [handler(type, file), handler(kept, file)], pollInterval: '1h' },
    }))
    finished = idOf(await app.inject({ method: 'POST', url: '/kept', payload: {} }))
    await hasFinished(store, finished)
  })
  afterAll(() => lab.free())

  for (const [name, { method, after = 0, request, status = 503 }] of Object.entries(CALLS)) {
    test.for(FAULTS)(`is answered with ${status} if ${name} %s, and the next one succeeds`, async fault => {
      const pending = idOf(await app.inject(submit))
      const asked = request({ finished, pending })
      let before = after
      faults.arm(method, fault, () => before-- <= 0)
      const answer = await app.inject(asked)
      expect(faults.isArmed).toBe(false)
      expect(answer.statusCode).toBe(status)
      if (status === 503) expect(problemOf(answer).code).toBe('unavailable')
      expect((await app.inject(asked)).statusCode).toBeLessThan(400)
      expect(unhandled).toEqual([])
    })
  }

  test.for(FAULTS)('for events ends if the read of the log %s, and the next one succeeds', async fault => {
    const asked = { url: `/kept/status/${finished}`, headers: events }
    faults.arm('logs', fault)
    const answer = await app.inject(asked).catch((error: Error) => error)
    expect(faults.isArmed).toBe(false)
    expect(answer instanceof Error || !answer.body.includes('event: status')).toBe(true)
    expect((await app.inject(asked)).body).toContain('"status":"completed"')
    expect(unhandled).toEqual([])
  })
})

test.for(FAULTS.filter(fault => fault !== 'never answers'))(
  'blobs whose deletion %s are deleted by a later sweep',
  async (fault, { lab }) => {
    const faults = new Faults()
    const blobs = folderBlobs({ path: join(lab.file(), '..', 'results') })
    const { app, store } = await serve(lab, [type], {
      store: await lab.store(),
      blobs: faults.of(blobs),
      worker: { handlers: handler(type, () => media('content', { type: 'text/plain' })) },
    })
    faults.arm('deleteAll', fault)
    const id = idOf(await app.inject({ method: 'POST', url: '/files', payload: {} }))
    await hasFinished(store, id)
    await until(() => !faults.isArmed)
    await until(async () => (await blobs.get(`${id}/1`)) === undefined)
  },
)

function idOf(answer: { json(): { id: string } }): string {
  return answer.json().id
}
