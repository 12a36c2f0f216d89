/** The command on Cosmos DB, whose items hold 2 MB: what is larger is in a blob store, and in a dump all the same. */
import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect } from 'vitest'
import { folderBlobs } from 'waybill/blobs/folder'
import type { Dump, Store } from '../../src/stores/store.ts'
import { startWaybill, waybill, waybillProcess } from '../support/cli.ts'
import { cosmosAccount } from '../support/cosmos.ts'
import { ACCOUNT_KEY, DATABASE } from '../support/cosmos-server.ts'
import { handlerFile, play, plays } from '../support/handlers.ts'
import { onlyLong } from '../support/length.ts'
import { submissionOf } from '../support/submission.ts'
import { resultOf, submit, type TestContext, test } from '../support/waybill.ts'

const account = cosmosAccount()
const env = { COSMOS_KEY: ACCOUNT_KEY }
const by = { holder: 'host/1/x', leaseMs: 30_000, execution: null, engine: null }
const idOf = (number: number) => `01941f29-7c00-7000-8000-${String(number).padStart(12, '0')}`
const LARGE = JSON.stringify('ü'.repeat(1_100_000))

/** A container, and a folder for what is too large for it. */
async function cosmos(lab: TestContext) {
  const container = account.container()
  const path = join(lab.file(), '../results')
  const blobs = folderBlobs({ path })
  const url = `cosmos:${account.server.endpoint}/${DATABASE}/${container.id}`
  return { url, path, blobs, blobsUrl: `folder:${path}`, store: await account.store(container, { blobs }) }
}

/** A SQLite file: 1 has completed with all that is large, 2 is pending with a large input, and 3 is small. */
async function filledFile(lab: TestContext): Promise<{ url: string; store: Store }> {
  const file = lab.file()
  const store = await lab.store(file)
  const id = idOf(1)
  await store.accept(submissionOf(id, { input: LARGE }))
  await store.claim({ ...by, from: { id } })
  await store.appendNote({ id, attempt: 1 }, { kind: 'step', name: 'large', value: `[${LARGE}]` })
  await store.appendNote({ id, attempt: 1 }, { kind: 'step', name: 'small', value: '1' })
  const output = `{"a":${LARGE}}`
  await store.change(id, { kind: 'finish', attempt: 1, outcome: { kind: 'completed', output } })
  await store.accept(submissionOf(idOf(2), { input: LARGE }))
  await store.accept(submissionOf(idOf(3)))
  return { url: `sqlite:${file}`, store }
}

async function dumpOf(store: Store): Promise<readonly Dump[]> {
  return (await store.dump(undefined, 10)).map(it => ({ ...it, steps: [...it.steps].sort() }))
}

async function copy(from: string, to: string, ...more: string[]) {
  return await waybill(['copy', '--from', from, '--to', to, ...more], env)
}

describe('waybill copy, with what is too large for Cosmos DB', () => {
  test('stores large values as blobs on Cosmos DB, and as JSON in other stores', async ({ lab }) => {
    const [source, target] = [await filledFile(lab), await cosmos(lab)]
    expect(await copy(source.url, target.url, '--to-blobs', target.blobsUrl)).toMatchObject({ code: 0, err: '' })
    expect(readdirSync(target.path).sort()).toEqual([idOf(1), idOf(2)])
    expect(readdirSync(join(target.path, idOf(1))).sort()).toEqual(
      ['input', 'output', 'step'].map(kind => expect.stringMatching(new RegExp(`^${kind}-`))),
    )
    expect((await target.store.steps(idOf(1))).get('large')).toBe(`[${LARGE}]`)
    expect(await dumpOf(target.store)).toEqual(await dumpOf(source.store))
    const again = await copy(source.url, target.url, '--to-blobs', target.blobsUrl)
    expect(again.out).toMatch(/^Copied 0 operations; 3 were there already/)
    const file = lab.file()
    const back = await copy(target.url, `sqlite:${file}`, '--from-blobs', target.blobsUrl)
    expect(back).toMatchObject({ code: 0, err: '' })
    expect(await dumpOf(await lab.store(file))).toEqual(await dumpOf(source.store))
  })

  onlyLong(() => {
    test('refuses if the blob store is not named', async ({ lab }) => {
      const [source, target] = [await filledFile(lab), await cosmos(lab)]
      const refused = (number: number) =>
        new RegExp(
          `^waybill copy: The operation ${idOf(number)} has a blob, ${idOf(number)}/\\S+: name both blob stores with --from-blobs`,
        )
      const to = await copy(source.url, target.url)
      expect([to.code, to.err]).toEqual([2, expect.stringMatching(refused(1))])
      expect(await target.store.read(idOf(1))).toBeUndefined()
      await copy(source.url, target.url, '--to-blobs', target.blobsUrl)
      const from = await copy(target.url, `sqlite:${lab.file()}`)
      expect([from.code, from.err]).toEqual([2, expect.stringMatching(refused(1))])
    })

    test('names the lost parts, and leaves out operations that could not run without them', async ({ lab }) => {
      const [source, target] = [await filledFile(lab), await cosmos(lab)]
      await copy(source.url, target.url, '--to-blobs', target.blobsUrl)
      const whole = lab.file()
      await copy(target.url, `sqlite:${whole}`, '--from-blobs', target.blobsUrl)
      const [step = ''] = readdirSync(join(target.path, idOf(1))).filter(name => name.startsWith('step-'))
      rmSync(join(target.path, idOf(1), step))
      rmSync(join(target.path, idOf(2)), { recursive: true })
      const file = lab.file()
      const { code, out, err } = await copy(target.url, `sqlite:${file}`, '--from-blobs', target.blobsUrl)
      expect(code).toBe(1)
      expect(err).toBe(
        `The source has lost of the operation ${idOf(1)}: steps.\nThe source has lost of the operation ${idOf(2)}: input. It is not copied, for it could not run.\n`,
      )
      expect(out).toContain(`The stores differ. The first operations that differ: ${idOf(1)}, ${idOf(2)}.`)
      const back = await lab.store(file)
      expect((await back.read(idOf(1)))?.status).toBe('completed')
      expect(await back.read(idOf(2))).toBeUndefined()
      expect(await back.readPayload(idOf(3), 'input')).toBe(JSON.stringify(idOf(3)))
      const again = await copy(target.url, `sqlite:${whole}`, '--from-blobs', target.blobsUrl)
      expect([again.code, again.err]).toEqual([
        1,
        expect.stringMatching(/: input\. What the target has of it stays\.\n$/),
      ])
      expect(await dumpOf(await lab.store(whole))).toEqual(await dumpOf(source.store))
    })

    test('copies from Cosmos DB to another store, and keeps the blobs where they are', async ({ lab }) => {
      const [source, between] = [await filledFile(lab), await cosmos(lab)]
      await copy(source.url, between.url, '--to-blobs', between.blobsUrl)
      const before = readdirSync(between.path, { recursive: true }).sort()
      const file = lab.file()
      const options = ['--from-blobs', between.blobsUrl, '--to-blobs', between.blobsUrl]
      expect(await copy(between.url, `sqlite:${file}`, ...options)).toMatchObject({ code: 0, err: '' })
      expect(await dumpOf(await lab.store(file))).toEqual(await dumpOf(source.store))
      expect(readdirSync(between.path, { recursive: true }).sort()).toEqual(before)
    })
  })()
})

onlyLong(() => {
  describe('waybill work, run and show', () => {
    test('handle inputs and results that are too large for Cosmos DB', async ({ lab }) => {
      const target = await cosmos(lab)
      const type = plays()
      const { store, blobs } = target
      const value = 'ü'.repeat(1_100_000)
      const composition = lab.composition([type], { store, blobs })
      const [id, other] = [
        await submit(composition, type, play({ do: 'return', value })),
        await submit(composition, type, play({ do: 'return', value })),
      ]
      const handlers = fileURLToPath(handlerFile('plays'))
      const { child, writes, ended } = startWaybill(['work', handlers, '--store', target.url], {
        ...env,
        WAYBILL_BLOBS: target.blobsUrl,
      })
      await writes('Working on plays')
      expect(await resultOf(store, id)).toBe(value)
      expect(await resultOf(store, other)).toBe(value)
      child.kill('SIGTERM')
      expect(await ended).toMatchObject({ code: 0, err: '' })
      const third = await submit(composition, type, play({ do: 'return', value }))
      const run = ['run', handlers, '--id', third, '--store', target.url, '--blobs', target.blobsUrl]
      expect(await waybillProcess(run, env)).toMatchObject({ code: 0, err: '' })
      const show = ['show', id, '--payloads', '--json', '--store', target.url]
      const shown = await waybill([...show, '--blobs', target.blobsUrl], env)
      expect(JSON.parse(shown.out).payloads.output).toBe(JSON.stringify(value))
      expect(await waybill(show, env)).toMatchObject({
        code: 2,
        err: expect.stringMatching(
          /^waybill show: .*: name its blob store with --blobs URL, or set WAYBILL_BLOBS\.\n$/,
        ),
      })
    })
  })
})()
