/** Copies of a SQLite file that is in use, and how they come back. */
import { copyFileSync, existsSync, readdirSync, writeFileSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { sqliteStore } from 'waybill/stores/sqlite'
import { backUp, restore } from '../../src/stores/sqlite/file-backup.ts'
import type { Store } from '../../src/stores/store.ts'
import type { Command, Report } from '../fixtures/sqlite-process.ts'
import { Child } from '../support/child.ts'
import { temporaryFolder } from '../support/folder.ts'
import { submissionOf } from '../support/submission.ts'

const files = temporaryFolder()
const stores: Store[] = []

afterEach(async () => {
  for (const store of stores.splice(0)) await store.close()
})

async function open(path: string): Promise<Store> {
  const store = sqliteStore({ path })
  stores.push(store)
  await store.open()
  return store
}

async function closeAll(): Promise<void> {
  for (const store of stores.splice(0)) await store.close()
}

describe('a backup', () => {
  test('is made while another process writes, and has everything that was confirmed before', async () => {
    const [path, copy] = [files.next(), files.next()]
    const child = new Child<Command, Report>(new URL('../fixtures/sqlite-process.ts', import.meta.url), path)
    try {
      await child.report(({ did }) => did === 'open')
      child.tell({ do: 'write' })
      await child.reported(20, ({ did }) => did === 'complete')
      const confirmed = child.reports.flatMap(it => (it.did === 'complete' ? [it.id] : []))
      await backUp(path, copy)
      await child.reported(confirmed.length + 1, ({ did }) => did === 'complete')
      const store = await open(copy)
      for (const id of confirmed) expect((await store.read(id))?.status).toBe('completed')
    } finally {
      await child.kill()
    }
  })

  test('overwrites no file, and requires an existing source', async () => {
    const [path, copy] = [files.next(), files.next()]
    await expect(backUp(path, copy)).rejects.toThrow(`There is no SQLite file ${path}`)
    await open(path)
    writeFileSync(copy, 'mine')
    await expect(backUp(path, copy)).rejects.toThrow(`The file ${copy} already exists`)
  })
})

describe('a restore', () => {
  test('refuses while a process has the file open', async () => {
    const [path, copy] = [files.next(), files.next()]
    const store = await open(path)
    await backUp(path, copy)
    await expect(restore(copy, path)).rejects.toThrow(`"${path}" is open in another process: end every process`)
    expect(existsSync(`${path}.part`)).toBe(false)
    await store.accept(submissionOf('a'))
    expect((await store.read('a'))?.status).toBe('pending')
  })

  test('restores nothing newer than the backup, even if a log file was left', async () => {
    const [path, copy] = [files.next(), files.next()]
    const store = await open(path)
    await store.accept(submissionOf('old'))
    await backUp(path, copy)
    await store.accept(submissionOf('new'))
    // As a process that was killed leaves it.
    const log = `${files.next()}-wal`
    copyFileSync(`${path}-wal`, log)
    await closeAll()
    copyFileSync(log, `${path}-wal`)

    const before = await restore(copy, path)
    const restored = await open(path)
    expect((await restored.read('old'))?.status).toBe('pending')
    expect(await restored.read('new')).toBeUndefined()
    await closeAll()
    expect((await (await open(before ?? '')).read('new'))?.status).toBe('pending')
    expect(readdirSync(dirname(path)).filter(name => name.startsWith(basename(path)) && name.includes('part'))).toEqual(
      [],
    )
  })

  test('creates a missing file, and refuses a source that is not a backup', async () => {
    const [path, copy, other, fresh] = [files.next(), files.next(), files.next(), files.next()]
    await (await open(path)).accept(submissionOf('a'))
    await backUp(path, copy)
    writeFileSync(other, 'This is a letter and no database. '.repeat(100))
    await expect(restore(other, path)).rejects.toThrow('not a database')
    await expect(restore(`${copy}.none`, path)).rejects.toThrow('There is no backup')
    await expect(restore(path, fresh)).rejects.toThrow('it is in use')
    expect(existsSync(fresh)).toBe(false)
    expect(await restore(copy, fresh)).toBeUndefined()
    expect((await (await open(fresh)).read('a'))?.status).toBe('pending')
  })
})
