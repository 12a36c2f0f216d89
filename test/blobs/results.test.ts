/** Results that are not JSON, from their handlers to the blob store: inline and in child processes. */
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, vi } from 'vitest'
import { defineOperation, handler, media } from 'waybill'
import { folderBlobs } from 'waybill/blobs/folder'
import { sqliteStore } from 'waybill/stores/sqlite'
import { manualClock } from 'waybill/testing'
import { type BlobReference, type BlobStore, writeReference } from '../../src/blobs/blob-store.ts'
import { hostId } from '../../src/util/host-id.ts'
import type { Waybill, WorkerOptions } from '../../src/waybill.ts'
import files from '../fixtures/handlers/files.ts'
import { type FileAct, files as filesType } from '../support/files.ts'
import { handlerFile } from '../support/handlers.ts'
import { atLength } from '../support/length.ts'
import {
  faultyStore,
  hasFinished,
  KeptLog,
  logOf,
  recordOf,
  submit,
  type TestContext,
  test,
  until,
  when,
} from '../support/waybill.ts'

const RUNS = {
  inline: { handlers: files },
  children: { handlers: handlerFile('files'), concurrency: 1 },
} as const satisfies Record<string, WorkerOptions>

interface Shelf {
  readonly waybill: Waybill
  readonly path: string
  readonly blobs: BlobStore
}

async function shelf(
  lab: TestContext,
  worker: WorkerOptions,
  options: Parameters<TestContext['waybill']>[1] = {},
  type = filesType(),
): Promise<Shelf> {
  const path = join(lab.file(), '..', 'results')
  const blobs = options.blobs ?? folderBlobs({ path })
  const waybill = await lab.waybill([type], { worker, ...options, blobs })
  return { waybill, path, blobs }
}

async function referenceOf({ waybill }: Shelf, id: string): Promise<BlobReference> {
  const operation = await hasFinished(waybill.store, id)
  expect(operation.error).toBeNull()
  const output = await waybill.operations.output(operation)
  if (typeof output === 'string') throw new Error(`It is JSON: ${output}`)
  return output
}

async function textOf({ waybill }: Shelf, reference: BlobReference): Promise<string> {
  let text = ''
  for await (const piece of await waybill.operations.content(reference)) text += Buffer.from(piece).toString()
  return text
}

/** What is in the folder of an operation. */
function filesOf({ path }: Shelf, id: string): string[] {
  return existsSync(join(path, id)) ? readdirSync(join(path, id)) : []
}

/** The folders that children of this process have for what they hand over, and the files in them. */
function spooled(): string[] {
  const own = readdirSync(tmpdir()).filter(name => name.startsWith(`waybill-spool-${hostId}-${process.pid}-`))
  return own.flatMap(name => readdirSync(join(tmpdir(), name)))
}

const SIZE_MIB = atLength(8, 64)

/** What a handler may return: how the test's handler is told to, and what is kept of it. */
const BODIES: readonly (readonly [string, FileAct, Partial<BlobReference>])[] = [
  ['a Blob', { as: 'blob', text: 'grüße', type: 'text/csv' }, { type: 'text/csv', length: 7 }],
  ['a Blob without a type', { as: 'blob', text: 'x', type: '' }, { type: 'application/octet-stream' }],
  ['a File', { as: 'file', text: 'grüße', filename: 'größe.txt' }, { type: 'text/plain', filename: 'größe.txt' }],
  ['a ReadableStream', { as: 'stream', text: 'grüße' }, { type: 'text/plain', length: 7 }],
  ['pieces of text', { as: 'pieces', text: 'grüße', filename: 'a.txt' }, { length: 7, filename: 'a.txt' }],
  ['a stream of Node', { as: 'node-stream', text: 'grüße' }, { length: 7 }],
  ['bytes', { as: 'bytes', text: 'grüße', type: 'application/pdf' }, { type: 'application/pdf', length: 7 }],
  ['text', { as: 'text', text: 'grüße' }, { length: 7 }],
  ['nothing', { as: 'text', text: '' }, { length: 0 }],
]

describe.each(Object.entries(RUNS))('a handler that runs %s', (run, worker) => {
  test('can return anything with bytes', async ({ lab }) => {
    const kept = await shelf(lab, worker)
    for (const [what, act, expected] of BODIES) {
      const id = await submit(kept.waybill, filesType(), act)
      const reference = await referenceOf(kept, id)
      expect(reference, what).toMatchObject({ key: `${id}/1`, ...expected })
      expect(reference.etag, what).toMatch(/^"[\w-]{43}"$/)
      expect(await textOf(kept, reference), what).toBe('text' in act ? act.text : '')
      expect(filesOf(kept, id), what).toEqual(['1'])
      expect(spooled(), what).toEqual([])
    }
  })

  test('can return a file, which is not deleted', async ({ lab }) => {
    const kept = await shelf(lab, worker)
    const path = `${lab.file()}.txt`
    writeFileSync(path, 'from a file')
    const id = await submit(kept.waybill, filesType(), { as: 'path', path })
    expect(await textOf(kept, await referenceOf(kept, id))).toBe('from a file')
    expect(existsSync(path)).toBe(true)
  })

  test('runs again when its stream fails, and leaves nothing of the first attempt', async ({ lab }) => {
    const kept = await shelf(lab, worker, { logger: new KeptLog() })
    const id = await submit(kept.waybill, filesType(), { as: 'fail' })
    const reference = await referenceOf(kept, id)
    expect(reference.key).toBe(`${id}/2`)
    expect(await textOf(kept, reference)).toBe('first, last')
    expect(filesOf(kept, id)).toEqual(['2'])
    expect(spooled()).toEqual([])
  })

  test('fails if a file does not exist or a chunk is not bytes', async ({ lab }) => {
    const kept = await shelf(lab, worker, { logger: new KeptLog() }, filesType({ attempts: 1 }))
    for (const act of [{ as: 'objects' }, { as: 'path', path: '/nowhere/at/all' }] as const) {
      const id = await submit(kept.waybill, filesType(), act)
      const { status, error } = await hasFinished(kept.waybill.store, id)
      expect({ status, code: error?.code }).toEqual({ status: 'failed', code: 'operation-failed' })
      expect(filesOf(kept, id)).toEqual([])
    }
  })

  test('is canceled while it streams, and nothing is stored', async ({ lab }) => {
    const kept = await shelf(lab, worker)
    const { store, operations } = kept.waybill
    const id = await submit(kept.waybill, filesType(), { as: 'stuck' })
    await until(async () => (await logOf(store, id)).includes('stuck'))
    await operations.cancel(id, '')
    expect((await hasFinished(store, id)).status).toBe('canceled')
    await until(() => filesOf(kept, id).length === 0 && spooled().length === 0)
  })

  test('times out while it streams', async ({ lab }) => {
    const brief = filesType({ attempts: 1, timeout: 300 })
    const kept = await shelf(lab, worker, {}, brief)
    const id = await submit(kept.waybill, brief, { as: 'stuck' })
    expect((await hasFinished(kept.waybill.store, id)).error?.code).toBe('attempt-timeout')
    await until(() => filesOf(kept, id).length === 0 && spooled().length === 0)
  })

  test('fails without a retry if there is no blob store', async ({ lab }) => {
    const waybill = await lab.waybill([filesType()], { worker })
    const id = await submit(waybill, filesType(), { as: 'text', text: 'x' })
    const { status, error, attempt } = await hasFinished(waybill.store, id)
    expect({ status, code: error?.code, attempt }).toEqual({ status: 'failed', code: 'no-blob-store', attempt: 1 })
  })

  test('cannot forge a reference', async ({ lab }) => {
    const kept = await shelf(lab, worker)
    const other = await submit(kept.waybill, filesType(), { as: 'text', text: 'secret' })
    const value = JSON.parse(writeReference(await referenceOf(kept, other)))
    const id = await submit(kept.waybill, filesType(), { as: 'json', value })
    expect((await hasFinished(kept.waybill.store, id)).error?.code).toBe('invalid-output')
    const nested = await submit(kept.waybill, filesType(), { as: 'json', value: { a: value } })
    expect((await hasFinished(kept.waybill.store, nested)).status).toBe('completed')
  })

  test(`streams ${SIZE_MIB} MiB`, async ({ lab }) => {
    const kept = await shelf(lab, worker)
    const before = process.memoryUsage.rss()
    const id = await submit(kept.waybill, filesType(), { as: 'large', mib: SIZE_MIB })
    const reference = await referenceOf(kept, id)
    expect(reference.length).toBe(SIZE_MIB * 1024 * 1024)
    let length = 0
    for await (const piece of await kept.waybill.operations.content(reference)) length += piece.byteLength
    expect(length).toBe(reference.length)
    const grown = Math.round((process.memoryUsage.rss() - before) / 1024 / 1024)
    console.log(`${SIZE_MIB} MiB, ${run}: the process grew by ${grown} MiB`)
  })
})

describe('a child process', () => {
  test('that dies while it streams loses one attempt, and leaves nothing', async ({ lab }) => {
    const kept = await shelf(lab, RUNS.children)
    const id = await submit(kept.waybill, filesType(), { as: 'crash' })
    const reference = await referenceOf(kept, id)
    expect(reference.key).toBe(`${id}/2`)
    expect(await textOf(kept, reference)).toBe('first, last')
    const { history } = await recordOf(kept.waybill.store, id)
    expect(history[0]?.error?.code).toBe('worker-lost')
    await until(() => spooled().length === 0)
    expect(filesOf(kept, id)).toEqual(['2'])
  })

  test('leaves no folder when its worker stops, and a new worker deletes the folders of killed ones', async ({
    lab,
  }) => {
    const stray = join(tmpdir(), `waybill-spool-${hostId}-999999999-x`)
    mkdirSync(stray)
    lab.onEnd(() => rmSync(stray, { recursive: true, force: true }))
    const kept = await shelf(lab, RUNS.children)
    expect(existsSync(stray)).toBe(false)
    await referenceOf(kept, await submit(kept.waybill, filesType(), { as: 'text', text: 'x' }))
    const own = () => readdirSync(tmpdir()).filter(name => name.includes(`${hostId}-${process.pid}-`))
    expect(own()).toHaveLength(1)
    await kept.waybill.stop()
    expect(own()).toEqual([])
  })
})

describe('a child process without space for its results', () => {
  test('fails large results with the cure, returns all others, and is not replaced', async ({ lab }) => {
    const logger = new KeptLog()
    const type = filesType({ attempts: 100 })
    const kept = await shelf(lab, RUNS.children, { logger }, type)
    vi.stubEnv('TMPDIR', '/no/such/folder')
    const id = await submit(kept.waybill, type, { as: 'text', text: 'x' })
    const { history } = await when(kept.waybill.store, id, ({ attempt }) => attempt > 2)
    expect(history[0]).toMatchObject({ outcome: 'failed', error: { code: 'operation-failed' } })
    expect(JSON.stringify(logger.lines)).toContain('Set TMPDIR to a folder with room')
    const json = await submit(kept.waybill, type, { as: 'json', value: 1 })
    expect(await hasFinished(kept.waybill.store, json)).toMatchObject({ status: 'completed', attempt: 1 })
    vi.unstubAllEnvs()
    expect(await textOf(kept, await referenceOf(kept, id))).toBe('x')
    expect(logger.lines.filter(({ message }) => message.includes('process for handlers'))).toEqual([])
  })
})

describe('an outcome', () => {
  const pdfs = defineOperation({ name: 'pdfs', backoff: { initial: 20 } })
  const worker = { handlers: handler(pdfs, () => media('x', { type: 'application/pdf' })) }

  test('that is refused deletes its blob', async ({ lab }) => {
    const path = join(lab.file(), '..', 'results')
    const folder = folderBlobs({ path })
    const store = await lab.store()
    // While the blob is put the attempt loses its lease, and the next one its chance.
    const blobs: BlobStore = {
      ...bound(folder),
      put: async (key, body, type) => {
        const kept = await folder.put(key, body, type)
        const [id = '', attempt] = key.split('/')
        await store.change(id, { kind: 'cancel' })
        await store.change(id, { kind: 'abandon', attempt: Number(attempt), reason: 'It is gone.' })
        return kept
      },
    }
    const waybill = await lab.waybill([pdfs], { worker, blobs, store, logger: new KeptLog() })
    const id = await submit(waybill, pdfs)
    expect((await hasFinished(store, id)).status).toBe('canceled')
    await until(() => !existsSync(join(path, id)))
  })

  test('whose first answer was lost keeps its blob', async ({ lab }) => {
    const path = join(lab.file(), '..', 'results')
    const { store: real } = faultyStore(await lab.store())
    let lost = 0
    const store = new Proxy(real, {
      get: (target, name: keyof typeof real) => {
        if (name !== 'change') return (target[name] as (() => unknown) | undefined)?.bind(target)
        return async (...given: Parameters<typeof real.change>) => {
          const answer = await real.change(...given)
          if (given[1].kind === 'finish' && lost++ === 0) throw new Error('The answer is lost.')
          return answer
        }
      },
    })
    const logger = new KeptLog()
    const waybill = await lab.waybill([pdfs], { worker, blobs: folderBlobs({ path }), store, logger })
    const id = await submit(waybill, pdfs)
    await hasFinished(real, id)
    await until(() => logger.lines.some(({ message }) => message === 'An operation completed'))
    await waybill.stop()
    expect(readdirSync(join(path, id))).toEqual(['1'])
    expect(logger.lines.map(({ message }) => message)).not.toContain(
      'An outcome came too late: the attempt had lost its lease',
    )
    expect(await waybill.metrics.text()).toContain(
      'waybill_operations_finished_total{operation="pdfs",outcome="completed"} 1',
    )
  })

  test('is retried while the blob store is unreachable', async ({ lab }) => {
    const path = join(lab.file(), '..', 'results')
    const folder = folderBlobs({ path })
    let away = 1
    const put: BlobStore['put'] = async (...given) => {
      if (away-- > 0) throw new Error('The blob store is away.')
      return await folder.put(...given)
    }
    const waybill = await lab.waybill([pdfs], { worker, blobs: { ...bound(folder), put }, logger: new KeptLog() })
    const id = await submit(waybill, pdfs)
    expect(await hasFinished(waybill.store, id)).toMatchObject({ status: 'completed', attempt: 2 })
  })
})

function bound(blobs: BlobStore): BlobStore {
  return {
    open: async () => await blobs.open?.(),
    put: (...given) => blobs.put(...given),
    get: (...given) => blobs.get(...given),
    delete: key => blobs.delete(key),
    deleteAll: ids => blobs.deleteAll(ids),
  }
}

describe('a blob is deleted', () => {
  const HOUR = 3_600_000
  const hourly = filesType({ retention: HOUR })

  async function aged(lab: TestContext, blobs?: BlobStore) {
    const clock = manualClock()
    const store = sqliteStore({ path: ':memory:', clock: clock.now })
    const logger = new KeptLog()
    const kept = await shelf(lab, RUNS.inline, { store, logger, ...(blobs && { blobs }) }, hourly)
    const id = await submit(kept.waybill, hourly, { as: 'text', text: 'x' })
    await hasFinished(store, id)
    return { clock, store, kept, id, logger }
  }

  test('with the payloads of its operation', async ({ lab }) => {
    const { clock, store, kept, id } = await aged(lab)
    expect(filesOf(kept, id)).toEqual(['1'])
    clock.advance(HOUR)
    await when(store, id, ({ purged }) => purged)
    await until(() => readdirSync(kept.path).length === 0)
  })

  test('with the record, if a crash prevented its deletion with the payloads', async ({ lab }) => {
    const { clock, store, kept, id } = await aged(lab)
    await kept.waybill.operations.find(id, '')
    clock.advance(HOUR)
    await when(store, id, ({ purged }) => purged)
    await until(() => readdirSync(kept.path).length === 0)
    await kept.blobs.put(`${id}/1`, pieces('left behind'), 'text/plain')
    clock.advance(24 * HOUR)
    await until(async () => (await store.read(id)) === undefined && readdirSync(kept.path).length === 0)
  })

  test('later, if the blob store is unreachable', async ({ lab }) => {
    const folder = folderBlobs({ path: join(lab.file(), '..', 'results') })
    let away = 2
    const deleteAll: BlobStore['deleteAll'] = async ids => {
      if (away-- > 0) throw new Error('The blob store is away.')
      await folder.deleteAll(ids)
    }
    const { clock, logger, id } = await aged(lab, { ...bound(folder), deleteAll })
    clock.advance(HOUR)
    await until(async () => (await folder.get(`${id}/1`)) === undefined)
    expect(logger.lines.filter(({ message }) => message === 'Could not delete results; will retry')).toHaveLength(2)
  })
})

async function* pieces(...texts: string[]) {
  for (const text of texts) yield Buffer.from(text)
}

test.for([
  ['type', () => media('x', { type: 'pdf' })],
  ['type', () => media('x', { type: 'text/plain\r\nSet-Cookie: a=b' })],
  ['type', () => media('x', { type: 'text/plain; charset="a\nb"' })],
  ['filename', () => media('x', { type: 'text/plain', filename: '' })],
  ['filename', () => media('x', { type: 'text/plain', filename: 'a'.repeat(256) })],
  ['body', () => media(7 as never, { type: 'text/plain' })],
  ['body', () => media({ file: 'x' } as never, { type: 'text/plain' })],
] as const)('an invalid %s is refused', ([name, make]) => {
  expect(make).toThrow(name)
  expect(make).toThrow(TypeError)
})
