/** The writer in a thread: what it notices beside its batches. */
import { createHook } from 'node:async_hooks'
import { EventEmitter, once } from 'node:events'
import { renameSync } from 'node:fs'
import { afterEach, expect, it } from 'vitest'
import { openWriter } from '../../../src/stores/sqlite/database.ts'
import { ThreadWriter } from '../../../src/stores/sqlite/writer-client.ts'
import { temporaryFolder } from '../../support/folder.ts'
import { submissionOf } from '../../support/submission.ts'

const files = temporaryFolder()
const open: ThreadWriter[] = []

afterEach(async () => {
  for (const writer of open.splice(0)) await writer.close()
})

async function openThread() {
  const location = { path: files.next(), driver: 'node:sqlite', synchronous: 'NORMAL' } as const
  const noticed = new EventEmitter()
  const writer = await ThreadWriter.open(location, {
    onCommit: () => noticed.emit('commit'),
    onRename: () => noticed.emit('rename'),
    warn: message => noticed.emit('error', new Error(message)),
  })
  open.push(writer)
  return { writer, location, noticed }
}

const accept = (id: string) => ({ kind: 'accept', submission: submissionOf(id) }) as const

it('notices that another connection has committed, and passes over its own commits', async () => {
  const { writer, location, noticed } = await openThread()
  let commits = 0
  noticed.on('commit', () => commits++)
  expect(await writer.execute([accept('a')], 7)).toEqual([{ value: 7 }])
  const commit = once(noticed, 'commit')
  const other = await openWriter(location)
  other.exec("INSERT OR REPLACE INTO meta (key, value) VALUES ('checked_at', 1)")
  await commit
  expect(await writer.execute([accept('b'), accept('c')], 8)).toEqual([{ value: 8 }, { value: 8 }])
  const next = once(noticed, 'commit')
  other.exec("INSERT OR REPLACE INTO meta (key, value) VALUES ('checked_at', 2)")
  await next
  expect(commits).toBe(2)
  other.close()
})

it('notices that a file of the folder was renamed', async () => {
  const { location, noticed } = await openThread()
  const renamed = once(noticed, 'rename')
  renameSync(`${location.path}-shm`, `${location.path}-elsewhere`)
  await renamed
})

it('keeps the file events of its own commits away from the event loop', async () => {
  const watched: string[] = []
  const hook = createHook({ init: (_, type) => void (type === 'FSEVENTWRAP' && watched.push(type)) }).enable()
  const { writer } = await openThread()
  await writer.execute([accept('a')], 7)
  hook.disable()
  expect(watched).toEqual([])
})

it('continues in a new thread after the previous one was closed', async () => {
  const { writer } = await openThread()
  await writer.close()
  expect(await writer.execute([accept('a')], 7)).toEqual([{ value: 7 }])
})
