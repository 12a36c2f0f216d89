/** What is too large for an item of Cosmos DB goes to a blob store, where there is one. */
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { folderBlobs } from 'waybill/blobs/folder'
import { manualClock } from 'waybill/testing'
import { writeReference } from '../../../src/blobs/blob-store.ts'
import type { Store } from '../../../src/stores/store.ts'
import { cosmosAccount } from '../../support/cosmos.ts'
import { submissionOf } from '../../support/submission.ts'

const account = cosmosAccount()
const folder = mkdtempSync(join(tmpdir(), 'waybill-cosmos-blobs-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const DAY = 86_400_000
const CLAIM_BY = { holder: 'host/1/a', leaseMs: 30_000, execution: null }
const TOO_LARGE = JSON.stringify('ü'.repeat(1_100_000))
let count = 0

async function fresh() {
  const clock = manualClock()
  const path = join(folder, `${++count}`)
  const blobs = folderBlobs({ path })
  const container = account.container({ clock: clock.now })
  const open = () => account.store(container, { clock: clock.now, blobs })
  const names = () => (existsSync(join(path, 'a')) ? readdirSync(join(path, 'a')).sort() : [])
  return { clock, store: await open(), open, container, path, names }
}

async function complete(store: Store, output: string): Promise<void> {
  await store.claim({ ...CLAIM_BY, from: { id: 'a' } })
  await store.change('a', { kind: 'finish', attempt: 1, outcome: { kind: 'completed', output } })
}

it('a large input and a large output are kept, read, dumped, and deleted with the operation', async () => {
  const { clock, store, open, names } = await fresh()
  await store.accept(submissionOf('a', { input: TOO_LARGE, retention: DAY }))
  expect(names()).toEqual([expect.stringMatching(/^input-/)])
  expect(await (await open()).readPayload('a', 'input')).toBe(TOO_LARGE)
  const [claim] = await store.claim({ ...CLAIM_BY, from: { id: 'a' } })
  expect(claim?.input).toBe(TOO_LARGE)
  const output = `[${TOO_LARGE}]`
  await store.change('a', { kind: 'finish', attempt: 1, outcome: { kind: 'completed', output } })
  expect(await (await open()).readPayload('a', 'output')).toBe(output)
  expect(names()).toEqual([expect.stringMatching(/^input-/), expect.stringMatching(/^output-/)])
  const [dump] = await store.dump(undefined, 10)
  expect([dump?.input, dump?.output]).toEqual([TOO_LARGE, output])
  const other = await fresh()
  await other.store.restore(dump === undefined ? [] : [dump])
  expect(await other.store.readPayload('a', 'output')).toBe(output)
  clock.advance(DAY)
  expect(await store.sweep(10)).toEqual({ expired: [], purged: ['a'] })
  expect(names()).toEqual([])
  expect(await store.readPayload('a', 'input')).toBeUndefined()
})

it('a large outcome of a step is kept, read and dumped', async () => {
  const { clock, store, open, container, names } = await fresh()
  await store.accept(submissionOf('a'))
  await store.claim({ ...CLAIM_BY, from: { id: 'a' } })
  const [note, lease] = [{ kind: 'step', name: 'Ä 1', value: TOO_LARGE } as const, { id: 'a', attempt: 1 }]
  expect([await store.appendNote(lease, note), await store.appendNote(lease, note)]).toEqual([true, true])
  expect(names()).toEqual([expect.stringMatching(/^step-1-/)])
  expect(await (await open()).steps('a')).toEqual(new Map([['Ä 1', TOO_LARGE]]))
  expect((await store.dump(undefined, 10))[0]?.steps).toEqual([['Ä 1', TOO_LARGE]])
  await store.change('a', { kind: 'finish', attempt: 1, outcome: { kind: 'completed', output: '1' } })
  const bare = await account.store(container, { clock: clock.now })
  await expect(bare.appendNote(lease, note)).rejects.toThrow(RangeError)
  clock.advance(DAY)
  expect((await store.sweep(10)).purged).toEqual(['a'])
  expect(names()).toEqual([])
})

it('a dump reports blobs that were deleted outside of the store', async () => {
  const { store, path, names } = await fresh()
  await store.accept(submissionOf('a', { input: TOO_LARGE }))
  await store.claim({ ...CLAIM_BY, from: { id: 'a' } })
  await store.appendNote({ id: 'a', attempt: 1 }, { kind: 'step', name: 'charge', value: TOO_LARGE })
  await store.change('a', { kind: 'finish', attempt: 1, outcome: { kind: 'completed', output: TOO_LARGE } })
  for (const name of names()) rmSync(join(path, 'a', name))
  const [dump] = await store.dump(undefined, 10)
  expect(dump).toMatchObject({ input: null, output: null, steps: [], missing: ['input', 'output', 'steps'] })
})

it('a value that fits into an item is not stored as a blob', async () => {
  const { store, names } = await fresh()
  await store.accept(submissionOf('a', { input: JSON.stringify('x'.repeat(500_000)) }))
  await complete(store, '1')
  expect(names()).toEqual([])
})

it('no TTL deletes an operation whose result is a blob, since a sweep must delete the blob', async () => {
  const { clock, store } = await fresh()
  await store.accept(submissionOf('a', { retention: DAY }))
  await complete(store, writeReference({ key: 'a/1', type: 'text/plain', length: 1, etag: '"x"' }))
  clock.advance(400 * DAY)
  expect((await store.read('a'))?.status).toBe('completed')
  expect((await store.sweep(10)).purged).toEqual(['a'])
})

it('a store without blobs reports the missing blob store', async () => {
  const { clock, store, container } = await fresh()
  await store.accept(submissionOf('a', { input: TOO_LARGE }))
  const bare = await account.store(container, { clock: clock.now })
  await expect(bare.readPayload('a', 'input')).rejects.toThrow('created without the option "blobs"')
  const dumps = await store.dump(undefined, 10)
  await expect(bare.restore(dumps)).rejects.toThrow(/^The input of the operation a is too large/)
  const withStep = dumps.map(it => ({ ...it, input: '1', steps: [['charge', TOO_LARGE]] as const }))
  await expect(bare.restore(withStep)).rejects.toThrow(/^The outcome of step "charge" of the operation a is too/)
})
