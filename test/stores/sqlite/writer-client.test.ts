/** The writer in a thread: what it is asked beside its batches. */
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
  const writer = await ThreadWriter.open(location)
  open.push(writer)
  return { writer, location }
}

const accept = (id: string) => ({ kind: 'accept', submission: submissionOf(id) }) as const

it('answers looks while a batch runs, each with its own answer', async () => {
  const { writer } = await openThread()
  const before = await writer.look()
  const looks = [writer.look()]
  const batch = writer.execute([accept('a'), accept('b')], 7)
  looks.push(writer.look())
  expect(await batch).toEqual([{ value: 7 }, { value: 7 }])
  // Its own commits are none of another connection.
  expect(await Promise.all(looks)).toEqual([before, before])
})

it('notices by a look that another connection has committed', async () => {
  const { writer, location } = await openThread()
  const before = await writer.look()
  const other = await openWriter(location)
  other.exec("INSERT OR REPLACE INTO meta (key, value) VALUES ('checked_at', 1)")
  other.close()
  expect(await writer.look()).not.toBe(before)
})

it('continues in a new thread after the previous one was closed', async () => {
  const { writer } = await openThread()
  await writer.close()
  const [answers, version] = await Promise.all([writer.execute([accept('a')], 7), writer.look()])
  expect(answers).toEqual([{ value: 7 }])
  expect(version).toBeGreaterThan(0)
})
