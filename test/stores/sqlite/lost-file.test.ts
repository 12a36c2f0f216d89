/** A SQLite file that is deleted, moved or replaced under the processes that have it open. */
import { existsSync, mkdirSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { dirname } from 'node:path'
import { describe, expect } from 'vitest'
import { defineOperation } from 'waybill'
import { sqliteStore } from 'waybill/stores/sqlite'
import type { Store } from '../../../src/stores/store.ts'
import { accepted, post, problemOf, serve } from '../../support/http.ts'
import { atLength } from '../../support/length.ts'
import { submissionOf } from '../../support/submission.ts'
import { KeptLog, type TestContext, test, until } from '../../support/waybill.ts'

const orders = defineOperation({ name: 'orders' })
const ID = '0197a3b2-1111-7222-8333-444455556666'
const WRITERS: readonly ('thread' | 'inline')[] = ['thread', 'inline']

async function open(lab: TestContext, writer: (typeof WRITERS)[number]): Promise<{ path: string; store: Store }> {
  const path = lab.file()
  const store = sqliteStore({ path, writer })
  lab.onEnd(() => store.close())
  await store.open()
  await store.accept(submissionOf(ID))
  return { path, store }
}

/** What the store says of everything once it has noticed; undefined before. */
async function refusalOf(store: Store): Promise<string | undefined> {
  return await store.read(ID).then(
    () => undefined,
    (error: Error) => error.message,
  )
}

describe.each(WRITERS.slice(0, atLength(1, undefined)))('a store whose writer is %s', writer => {
  test('refuses reads and writes once its file is deleted, and says what to do', async ({ lab }) => {
    const { path, store } = await open(lab, writer)
    rmSync(path)
    await until(async () => (await refusalOf(store)) !== undefined)
    expect(await refusalOf(store)).toContain(`"${path}" was deleted, moved or replaced while it was open`)
    expect(await refusalOf(store)).toContain('start the process again')
    await expect(store.accept(submissionOf(crypto.randomUUID()))).rejects.toThrow('deleted, moved or replaced')
    await expect(store.dump(undefined, 10)).rejects.toThrow('deleted, moved or replaced')
    await expect(store.sweep(10)).rejects.toThrow('deleted, moved or replaced')
    expect(existsSync(path)).toBe(false)
  })

  test('refuses them too if only the log is deleted, which has the last commits', async ({ lab }) => {
    const { path, store } = await open(lab, writer)
    rmSync(`${path}-wal`)
    await until(async () => (await refusalOf(store)) !== undefined)
  })

  test('refuses them too if only its shared memory is deleted, which holds the locks', async ({ lab }) => {
    const { path, store } = await open(lab, writer)
    rmSync(`${path}-shm`)
    await until(async () => (await refusalOf(store)) !== undefined)
    expect(await refusalOf(store)).toContain('-shm is not what was opened')
  })

  test('is not joined by another store once its shared memory was deleted: neither loses what it has confirmed', async ({
    lab,
  }) => {
    const { path, store } = await open(lab, writer)
    rmSync(`${path}-shm`)
    const late = sqliteStore({ path, writer })
    lab.onEnd(() => late.close())
    await expect(late.open()).rejects.toThrow(`"${path}" is open in another process, and its -shm file was deleted`)
    await store.close()
    await late.open()
    expect((await late.read(ID))?.status).toBe('pending')
  })

  test('refuses them too if it was opened by a link to the file', async ({ lab }) => {
    const { path } = await open(lab, writer)
    const link = `${path}-link`
    symlinkSync(path, link)
    const linked = sqliteStore({ path: link, writer })
    lab.onEnd(() => linked.close())
    await linked.open()
    rmSync(`${path}-wal`)
    await until(async () => (await refusalOf(linked)) !== undefined)
  })

  test('continues with all its data when its file is moved away and back', async ({ lab }) => {
    const { path, store } = await open(lab, writer)
    renameSync(path, `${path}.moved`)
    await until(async () => (await refusalOf(store)) !== undefined)
    renameSync(`${path}.moved`, path)
    expect((await store.read(ID))?.status).toBe('pending')
    await store.accept(submissionOf(crypto.randomUUID()))
  })

  test('notices in its sweep that the folder itself was moved, which no event reports', async ({ lab }) => {
    const { path, store } = await open(lab, writer)
    const folder = dirname(path)
    renameSync(folder, `${folder}.moved`)
    try {
      mkdirSync(folder)
      await expect(store.sweep(10)).rejects.toThrow('deleted, moved or replaced')
    } finally {
      rmSync(folder, { recursive: true })
      renameSync(`${folder}.moved`, folder)
    }
  })
})

test('an API whose SQLite file is deleted accepts nothing more, is not ready, and logs why', async ({ lab }) => {
  const path = lab.file()
  const logger = new KeptLog()
  const served = await serve(lab, [orders], { store: sqliteStore({ path }), logger, sweepInterval: '1h' })
  await accepted(served, '/orders')
  for (const file of [path, `${path}-wal`, `${path}-shm`]) rmSync(file)
  await until(async () => (await served.app.inject('/readyz')).statusCode === 503)
  const refused = await post(served, '/orders', {})
  expect([refused.statusCode, problemOf(refused).code]).toEqual([503, 'unavailable'])
  expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0)
  expect(refused.body).not.toContain(path)
  const error = logger.lines.find(({ level }) => level === 'error')
  expect(error?.fields).toHaveProperty('err.message', expect.stringContaining(`"${path}" was deleted`))
})
