/** Results that are not JSON, over HTTP: on each kind of server, to curl, to fetch, and to the clients. */
import { execFile } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect } from 'vitest'
import { folderBlobs } from 'waybill/blobs/folder'
import { attach, client, fetchAndWait } from 'waybill/client'
import type { BlobStore } from '../../src/blobs/blob-store.ts'
import type { Waybill, WaybillOptions } from '../../src/waybill.ts'
import handlers from '../fixtures/handlers/files.ts'
import { type FileAct, files as filesType } from '../support/files.ts'
import { atLength } from '../support/length.ts'
import { followsReference } from '../support/reference.ts'
import { type Api, idOf, postJson, SERVERS, type ServerOptions, serveFastify } from '../support/servers.ts'
import { hasFinished, KeptLog, type TestContext, test, until } from '../support/waybill.ts'

const curl = promisify(execFile)
const TEXT = '0123456789abcdefghij'
const PDF: FileAct = { as: 'text', text: TEXT, type: 'application/pdf', filename: 'report.pdf' }

interface Open {
  readonly api: Api
  readonly waybill: Waybill
  readonly blobs: BlobStore
}

async function open(
  lab: TestContext,
  door = serveFastify,
  options: ServerOptions = {},
  more: Partial<WaybillOptions> = {},
): Promise<Open> {
  const blobs = folderBlobs({ path: join(lab.file(), '..', 'results') })
  const waybill = await lab.waybill([filesType()], { worker: { handlers }, blobs, ...more })
  return { api: await door(lab, waybill, options), waybill, blobs }
}

/** Submits, and gives the path of the result once it is there. */
async function resultOf({ api, waybill }: Open, act: FileAct): Promise<string> {
  const id = await idOf(api.ask('/files', postJson(act)))
  const { error } = await hasFinished(waybill.store, id)
  expect(error).toBeNull()
  return `/files/${id}`
}

describe.each(Object.entries(SERVERS).slice(0, atLength(1, undefined)))('on %s', (_, door) => {
  test('the result has its media type, length, ETag and name, and can run no script', async ({ lab }) => {
    const opened = await open(lab, door)
    const answer = await opened.api.ask(await resultOf(opened, PDF))
    expect(answer.status).toBe(200)
    expect(await answer.text()).toBe(TEXT)
    const headers = Object.fromEntries(answer.headers)
    expect(headers).toMatchObject({
      'content-type': 'application/pdf',
      'content-length': '20',
      'accept-ranges': 'bytes',
      etag: expect.stringMatching(/^"[\w-]{43}"$/),
      expires: expect.any(String),
      'cache-control': 'private, no-transform',
      'content-disposition': 'attachment; filename="report.pdf"',
      'x-content-type-options': 'nosniff',
      'content-security-policy': "sandbox; default-src 'none'",
    })
  })

  test('HEAD returns the same headers without a body', async ({ lab }) => {
    const opened = await open(lab, door)
    const path = await resultOf(opened, PDF)
    const head = await opened.api.ask(path, { method: 'HEAD', headers: { range: 'bytes=0-1' } })
    expect(head.status).toBe(200)
    expect(head.headers.get('content-length')).toBe('20')
    expect(head.headers.get('content-type')).toBe('application/pdf')
    expect(await head.text()).toBe('')
  })

  test('a result that the client already has is not sent again', async ({ lab }) => {
    const opened = await open(lab, door)
    const path = await resultOf(opened, PDF)
    const etag = (await opened.api.ask(path)).headers.get('etag') ?? ''
    for (const known of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
      const answer = await opened.api.ask(path, { headers: { 'if-none-match': known, range: 'bytes=0-1' } })
      expect(answer.status).toBe(304)
      expect(answer.headers.get('etag')).toBe(etag)
      expect(await answer.text()).toBe('')
    }
    expect((await opened.api.ask(path, { headers: { 'if-none-match': '"other"' } })).status).toBe(200)
  })

  test('a failed precondition prevents a full and a partial response', async ({ lab }) => {
    const opened = await open(lab, door)
    const path = await resultOf(opened, PDF)
    const etag = (await opened.api.ask(path)).headers.get('etag') ?? ''
    for (const [required, status] of [
      ['"other"', 412],
      [`W/${etag}`, 412],
      [etag, 206],
      ['*', 206],
    ] as const) {
      const answer = await opened.api.ask(path, { headers: { 'if-match': required, range: 'bytes=0-1' } })
      expect([required, answer.status]).toEqual([required, status])
      if (status === 412) expect(await answer.json()).toMatchObject({ code: 'precondition-failed' })
      else expect(await answer.text()).toBe('01')
    }
  })

  test.for<[string, string, string]>([
    ['bytes=0-4', '01234', 'bytes 0-4/20'],
    ['bytes=5-5', '5', 'bytes 5-5/20'],
    ['bytes=15-', 'fghij', 'bytes 15-19/20'],
    ['bytes=15-99999999999999999999999', 'fghij', 'bytes 15-19/20'],
    ['bytes=-3', 'hij', 'bytes 17-19/20'],
    ['bytes=-300', TEXT, 'bytes 0-19/20'],
    ['Bytes= 0 - 0', '0', 'bytes 0-0/20'],
  ])('Range: %s', async ([range, text, contentRange], { lab }) => {
    const opened = await open(lab, door)
    const answer = await opened.api.ask(await resultOf(opened, PDF), { headers: { range } })
    expect(answer.status).toBe(206)
    expect(await answer.text()).toBe(text)
    expect(answer.headers.get('content-range')).toBe(contentRange)
    expect(answer.headers.get('content-length')).toBe(`${text.length}`)
    expect(answer.headers.get('content-type')).toBe('application/pdf')
  })

  test('a range outside of the result is refused, and the response has the length', async ({ lab }) => {
    const opened = await open(lab, door)
    const path = await resultOf(opened, PDF)
    for (const range of ['bytes=20-', 'bytes=20-30', 'bytes=-0', 'bytes=99999999999999999999999-']) {
      const answer = await opened.api.ask(path, { headers: { range } })
      expect(answer.status).toBe(416)
      expect(answer.headers.get('content-range')).toBe('bytes */20')
      expect(await answer.json()).toMatchObject({ code: 'range-not-satisfiable' })
    }
    const empty = await resultOf(opened, { as: 'text', text: '' })
    expect((await opened.api.ask(empty, { headers: { range: 'bytes=0-' } })).status).toBe(416)
    const whole = await opened.api.ask(empty)
    expect([whole.status, whole.headers.get('content-length'), await whole.text()]).toEqual([200, '0', ''])
  })

  test('an invalid range, several ranges or a range of another version get the whole result', async ({ lab }) => {
    const opened = await open(lab, door)
    const path = await resultOf(opened, PDF)
    const etag = (await opened.api.ask(path)).headers.get('etag') ?? ''
    const ask = async (headers: Record<string, string>) => {
      const answer = await opened.api.ask(path, { headers })
      return [answer.status, await answer.text()]
    }
    for (const range of [
      'bytes=0-1,3-4',
      'bytes=4-1',
      'bytes=-',
      'bytes=a-b',
      'items=0-1',
      'bytes 0-1',
      'bytes=1--2',
    ]) {
      expect(await ask({ range })).toEqual([200, TEXT])
    }
    const range = 'bytes=0-1'
    expect(await ask({ range, 'if-range': etag })).toEqual([206, '01'])
    for (const other of ['"other"', `W/${etag}`, new Date().toUTCString()]) {
      expect(await ask({ range, 'if-range': other })).toEqual([200, TEXT])
    }
  })

  test('a POST that waits is answered with the whole result', async ({ lab }) => {
    const { api } = await open(lab, door)
    const answer = await api.ask('/files', postJson(PDF, { prefer: 'wait=30', range: 'bytes=0-1' }))
    expect(answer.status).toBe(200)
    expect(answer.headers.get('content-type')).toBe('application/pdf')
    expect(answer.headers.get('content-location')).toMatch(/^\/files\/[\w-]+$/)
    expect(answer.headers.get('preference-applied')).toBe('wait=30')
    expect(await answer.text()).toBe(TEXT)
  })

  test('the status URL redirects to the result, or returns it in the dialect "accepted"', async ({ lab }) => {
    const opened = await open(lab, door)
    const path = await resultOf(opened, PDF)
    const status = path.replace('/files/', '/files/status/')
    const seeOther = await opened.api.ask(status)
    expect([seeOther.status, seeOther.headers.get('location')]).toEqual([303, path])
    const headers = { prefer: 'respond-async' }
    const answer = await opened.api.ask(status, { headers: { ...headers, range: 'bytes=0-1' } })
    expect([answer.status, await answer.text()]).toEqual([200, TEXT])
    const head = await opened.api.ask(status, { method: 'HEAD', headers })
    expect([head.status, await head.text()]).toEqual([200, ''])
  })

  test('the Azure monitor has the URL of the result, but not the result', async ({ lab }) => {
    const opened = await open(lab, door)
    const path = await resultOf(opened, PDF)
    const monitor = await opened.api.ask(path.replace('/files/', '/operations/'))
    const body = await monitor.json()
    expect(body).toMatchObject({ status: 'Succeeded', resourceLocation: path })
    expect(body).not.toHaveProperty('result')
  })

  test('a client that disconnects during the download leaves no open file', async ({ lab }) => {
    const opened = await open(lab, door)
    const path = await resultOf(opened, { as: 'large', mib: 32 })
    const openFiles = () => readdirSync('/proc/self/fd').length
    const before = openFiles()
    for (let time = 0; time < 10; time++) {
      const reader = (await opened.api.ask(path)).body?.getReader()
      await reader?.read()
      await reader?.cancel()
    }
    await until(() => openFiles() <= before + 2)
  })

  test('if the bytes are lost but the operation exists, GET and HEAD answer 500, and the log has the reason', async ({
    lab,
  }) => {
    const logger = new KeptLog()
    const opened = await open(lab, door, {}, { logger })
    const path = await resultOf(opened, PDF)
    const id = path.slice('/files/'.length)
    await opened.blobs.deleteAll([id])
    const gone = await opened.api.ask(path)
    expect(gone.status).toBe(500)
    expect(gone.headers.get('content-type')).toMatch(/^application\/problem\+json/)
    expect(await gone.json()).toMatchObject({ code: 'result-lost' })
    expect((await opened.api.ask(path, { method: 'HEAD' })).status).toBe(500)
    expect((await opened.api.ask(path, { headers: { range: 'bytes=0-1' } })).status).toBe(500)
    const errors = logger.lines.filter(({ level }) => level === 'error')
    expect(errors).toHaveLength(3)
    for (const { fields } of errors) {
      expect(fields).toHaveProperty(
        'err.message',
        expect.stringContaining(`"${id}/1", the result of the operation ${id}, is not in the blob store`),
      )
      expect(fields).toHaveProperty('err.message', expect.stringContaining('the same "blobs"'))
    }
  })

  test('if the operation is purged during a request, the answer is 410', async ({ lab }) => {
    const kept = folderBlobs({ path: join(lab.file(), '..', 'results') })
    const blobs: BlobStore = {
      put: (...blob) => kept.put(...blob),
      get: async () => {
        await waybill.store.sweep(10)
        return undefined
      },
      delete: key => kept.delete(key),
      deleteAll: operations => kept.deleteAll(operations),
    }
    const waybill = await lab.waybill([filesType({ retention: 0 })], {
      worker: { handlers },
      blobs,
      sweepInterval: '1h',
    })
    const api = await door(lab, waybill)
    const id = await idOf(api.ask('/files', postJson(PDF)))
    await hasFinished(waybill.store, id)
    const gone = await api.ask(`/files/${id}`)
    expect([gone.status, await gone.json()]).toMatchObject([410, { code: 'operation-expired' }])
  })

  test('other callers cannot read it', async ({ lab }) => {
    const opened = await open(lab, door, { byHeader: true })
    const id = await idOf(opened.api.ask('/files', postJson(PDF, { 'x-user': 'ann' })))
    await hasFinished(opened.waybill.store, id)
    const ask = async (user: string) => (await opened.api.ask(`/files/${id}`, { headers: { 'x-user': user } })).status
    expect([await ask('ann'), await ask('bob')]).toEqual([200, 404])
  })
})

/** Asks for the result as the reference says it, on Fastify. */
async function answerTo(lab: TestContext, headers: Record<string, string> = {}, method = 'GET') {
  const opened = await open(lab)
  return await opened.api.ask(await resultOf(opened, PDF), { method, headers })
}

followsReference('GET /orders/{id}, where the result is not JSON', {
  'See [results.md]': async lab => expect(await (await answerTo(lab)).text()).toBe(TEXT),

  '| 200 |': async lab => {
    const { status, headers } = await answerTo(lab)
    expect(status).toBe(200)
    expect([...headers.keys()]).toEqual(
      expect.arrayContaining([
        'content-type',
        'content-length',
        'etag',
        'accept-ranges',
        'expires',
        'content-disposition',
      ]),
    )
  },

  '| 206 |': async lab => {
    const { status, headers } = await answerTo(lab, { range: 'bytes=0-1' })
    expect([status, headers.get('content-range')]).toEqual([206, 'bytes 0-1/20'])
  },

  '| 304 |': async lab => {
    const { status, headers } = await answerTo(lab, { 'if-none-match': '*' })
    expect([status, headers.has('etag')]).toEqual([304, true])
  },

  '| 416 |': async lab => {
    const { status, headers } = await answerTo(lab, { range: 'bytes=99-' })
    expect([status, headers.get('content-range')]).toEqual([416, 'bytes */20'])
  },

  'A request for several ranges': async lab => {
    expect((await answerTo(lab, { range: 'bytes=0-1,3-4' })).status).toBe(200)
    expect((await answerTo(lab, {}, 'HEAD')).headers.get('content-length')).toBe('20')
  },
})

test.for<[string, string]>([
  ['größe.pdf', `attachment; filename="gr__e.pdf"; filename*=UTF-8''gr%C3%B6%C3%9Fe.pdf`],
  ['a"b;c.pdf', `attachment; filename="a_b;c.pdf"; filename*=UTF-8''a%22b%3Bc.pdf`],
  ['../../etc/passwd', `attachment; filename=".._.._etc_passwd"`],
  ['a\r\nSet-Cookie: b=c', `attachment; filename="a__Set-Cookie: b=c"`],
  ['C:\\x\0.exe', `attachment; filename="C:_x_.exe"`],
  ["100%'(a)*.txt", `attachment; filename="100_'(a)*.txt"; filename*=UTF-8''100%25%27%28a%29%2A.txt`],
  ['\ud800.txt', `attachment; filename="_.txt"; filename*=UTF-8''%EF%BF%BD.txt`],
  ['fdp\u202egpj.exe', `attachment; filename="fdp_gpj.exe"`],
])('the file name %j is encoded in Content-Disposition', async ([filename, expected], { lab }) => {
  const opened = await open(lab)
  const answer = await opened.api.ask(await resultOf(opened, { as: 'text', text: 'x', filename }))
  expect(answer.headers.get('content-disposition')).toBe(expected)
})

test('curl downloads a result, resumes a download, and requests ranges', async ({ lab }) => {
  const opened = await open(lab)
  const url = opened.api.url + (await resultOf(opened, PDF))
  const target = lab.file()
  await curl('curl', ['-fsS', '-r', '0-9', '-o', target, url])
  await curl('curl', ['-fsS', '-C', '-', '-o', target, url])
  expect((await curl('cat', [target])).stdout).toBe(TEXT)
  expect((await curl('curl', ['-fsS', '-r', '-3', url])).stdout).toBe('hij')
  const { stdout } = await curl('curl', ['-fsSI', url])
  expect(stdout).toMatch(/^content-length: 20\r$/im)
})

test('large results arrive whole', async ({ lab }) => {
  const opened = await open(lab)
  const answer = await fetch(opened.api.url + (await resultOf(opened, { as: 'large', mib: 16 })))
  const bytes = new Uint8Array(await answer.arrayBuffer())
  expect(bytes.byteLength).toBe(16 * 1024 * 1024)
  expect(bytes.every((byte, at) => byte === at >> 20)).toBe(true)
})

describe('a client', () => {
  test('fetchAndWait gets the response, however it waits', async ({ lab }) => {
    const { api } = await open(lab)
    for (const prefer of ['', 'wait=30']) {
      const init = postJson(PDF, prefer === '' ? {} : { prefer })
      const response = (await fetchAndWait(`${api.url}/files`, init)) as Response
      expect(response).toBeInstanceOf(Response)
      expect(response.headers.get('content-type')).toBe('application/pdf')
      expect(await (await response.blob()).text()).toBe(TEXT)
    }
  })

  test('an Azure poller gets the response', async ({ lab }) => {
    const opened = await open(lab)
    const path = await resultOf(opened, PDF)
    const response = (await attach(opened.api.url + path.replace('/files/', '/operations/'))) as Response
    expect(await response.text()).toBe(TEXT)
  })

  test('the typed client gets the response, as often as it requests it', async ({ lab }) => {
    const { api } = await open(lab)
    const { files } = client({ files: filesType() }, { baseUrl: api.url })
    for (const options of [{}, { waitTimeout: 30_000 }]) {
      const handle = await files.submit(PDF, options)
      for (let time = 0; time < 2; time++) expect(await ((await handle.result()) as Response).text()).toBe(TEXT)
      expect((await handle.status()).status).toBe('completed')
      expect(await ((await files.attach(JSON.parse(JSON.stringify(handle))).result()) as Response).text()).toBe(TEXT)
    }
  })
})
