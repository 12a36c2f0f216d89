/** `waybill copy` with results that a blob store keeps: they arrive before their records, whole, or are named. */
import { createHash } from 'node:crypto'
import {
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import type { Pool } from 'pg'
import { describe, expect } from 'vitest'
import { folderBlobs } from 'waybill/blobs/folder'
import { postgresBlobs } from 'waybill/blobs/postgres'
import { postgresStore } from 'waybill/stores/postgres'
import { type BlobStore, readReference, writeReference } from '../../src/blobs/blob-store.ts'
import type { Store } from '../../src/stores/store.ts'
import { startWaybill, waybill } from '../support/cli.ts'
import { atLength, onlyLong } from '../support/length.ts'
import { testDatabase } from '../support/postgres.ts'
import { submissionOf } from '../support/submission.ts'
import { type TestContext, test, until } from '../support/waybill.ts'

const database = testDatabase()

const idOf = (number: number) => `01941f29-7c00-7000-8000-${String(number).padStart(12, '0')}`
const by = { holder: 'host/1/x', leaseMs: 30_000, execution: null, engine: null }

/** A SQLite file and a folder beside it. */
interface Place {
  readonly url: string
  readonly store: Store
  readonly path: string
  readonly blobsUrl: string
  readonly blobs: BlobStore
}

async function place(lab: TestContext): Promise<Place> {
  const file = lab.file()
  const path = join(file, '../results')
  const blobs = folderBlobs({ path })
  await blobs.open?.()
  return { url: `sqlite:${file}`, store: await lab.store(file), path, blobsUrl: `folder:${path}`, blobs }
}

/** Bytes that no two operations have in common. */
function bytesOf(number: number, length: number): Buffer {
  return Buffer.alloc(length, `${number} bytes; `)
}

/** Completes an operation whose result is this many bytes, as a worker does. */
async function complete({ store, blobs }: Place, number: number, length: number): Promise<void> {
  const [id, bytes] = [idOf(number), bytesOf(number, length)]
  await store.accept(submissionOf(id))
  await store.claim({ ...by, from: { id } })
  await blobs.put(`${id}/1`, pieces(bytes), 'text/plain')
  const etag = `"${createHash('sha256').update(bytes).digest('base64url')}"`
  const output = writeReference({ key: `${id}/1`, type: 'text/plain', length, etag, filename: 'ü.txt' })
  await store.change(id, { kind: 'finish', attempt: 1, outcome: { kind: 'completed', output } })
}

async function* pieces(bytes: Uint8Array) {
  for (let at = 0; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536)
}

async function read(blobs: BlobStore, key: string): Promise<Buffer | undefined> {
  const found = await blobs.get(key)
  if (found === undefined) return undefined
  const all: Uint8Array[] = []
  for await (const piece of found) all.push(piece)
  return Buffer.concat(all)
}

/** A schema of PostgreSQL for both. */
interface Target {
  readonly name: string
  readonly pool: Pool
  readonly url: string
  readonly store: Store
  readonly blobs: BlobStore
}

function schema(lab: TestContext): Target {
  const name = database.nextSchema()
  const pool = database.pool()
  const store = postgresStore(pool, { schema: name })
  lab.onEnd(() => store.close())
  return { name, pool, url: `${database.url}?schema=${name}`, store, blobs: postgresBlobs(pool, { schema: name }) }
}

async function counted({ pool, name }: Target, table: 'blobs' | 'operations'): Promise<number> {
  return (await pool.query(`SELECT count(*)::int AS n FROM "${name}".${table}`)).rows[0].n
}

/** Has the database wait with the blob of one operation. The returned function lets it go on. */
async function hold({ pool, name }: Target, number: number): Promise<() => Promise<void>> {
  await pool.query(`
    CREATE FUNCTION "${name}".hold() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN PERFORM pg_advisory_xact_lock(7); RETURN NEW; END $$;
    CREATE TRIGGER hold BEFORE INSERT ON "${name}".blobs FOR EACH ROW
      WHEN (NEW.operation = '${idOf(number)}') EXECUTE FUNCTION "${name}".hold()`)
  const client = await pool.connect()
  await client.query('SELECT pg_advisory_lock(7)')
  const waiting = `FROM pg_locks WHERE locktype = 'advisory' AND objid = 7 AND NOT granted`
  return async () => {
    await client.query(`SELECT pg_terminate_backend(pid) ${waiting}`)
    await until(async () => (await client.query(`SELECT 1 ${waiting}`)).rows.length === 0)
    await client.query('SELECT pg_advisory_unlock(7)')
    client.release()
    await pool.query(`DROP FUNCTION "${name}".hold() CASCADE`)
  }
}

async function copy(from: string, to: string, ...more: string[]) {
  return await waybill(['copy', '--from', from, '--to', to, ...more])
}

/** Each record of the store whose blob is not there whole. */
async function broken(store: Store, blobs: BlobStore): Promise<string[]> {
  const ids: string[] = []
  for (const { operation, output } of await store.dump(undefined, 1000)) {
    const reference = readReference(output ?? '', operation.id)
    if (reference === undefined) continue
    const bytes = await read(blobs, reference.key)
    if (bytes === undefined || !bytes.equals(bytesOf(Number(operation.id.slice(-12)), reference.length))) {
      ids.push(operation.id)
    }
  }
  return ids
}

/** Of each 50 operations the blobs come first, all but the one that is held, and then the records. */
const KILLS = [
  { held: 30, blobs: 49, operations: 0 },
  { held: 120, blobs: 149, operations: 100 },
].slice(0, atLength(1, undefined))

describe('waybill copy, with blobs', () => {
  test('copies blobs from a folder to PostgreSQL and back, and reports that they are equal', async ({ lab }) => {
    const [source, back, target] = [await place(lab), await place(lab), schema(lab)]
    const lengths = [0, 1, 262_144, 9 * 1024 * 1024 + 7]
    for (const [number, length] of lengths.entries()) await complete(source, number, length)
    await source.store.accept(submissionOf(idOf(9)))
    const options = ['--from-blobs', source.blobsUrl, '--to-blobs', target.url]
    const bytes = lengths.reduce((sum, length) => sum + length, 0)
    const { code, out, err } = await copy(source.url, target.url, ...options)
    expect([code, err]).toEqual([0, ''])
    expect(out).toMatch(/^Copied 5 operations; 0 .*\nCopied 4 blobs; 0 were there already, unchanged\.\n/)
    expect(out).toMatch(
      new RegExp(
        `\nsource: 4 blobs, ${bytes} bytes, sha256 (\\w{64})\ntarget: 4 blobs, ${bytes} bytes, sha256 \\1\nThe stores are`,
      ),
    )
    await target.store.open()
    expect(await broken(target.store, target.blobs)).toEqual([])
    expect((await copy(source.url, target.url, ...options)).out).toContain(
      'Copied 0 blobs; 4 were there already, unchanged.',
    )
    const returned = await copy(target.url, back.url, '--from-blobs', target.url, '--to-blobs', back.blobsUrl)
    expect(returned).toMatchObject({ code: 0, err: '' })
    expect(await back.store.dump(undefined, 10)).toEqual(await source.store.dump(undefined, 10))
    expect(await broken(back.store, back.blobs)).toEqual([])
  })

  test('leaves no record without its blob if it is killed, and continues when it is repeated', async ({ lab }) => {
    const [source, target] = [await place(lab), schema(lab)]
    const count = 60 + (KILLS.at(-1)?.operations ?? 0)
    for (let number = 0; number < count; number++) await complete(source, number, number % 10 === 0 ? 300_000 : 3000)
    await target.store.open()
    await target.blobs.open?.()
    const args = ['copy', '--from', source.url, '--to', target.url]
    args.push('--from-blobs', source.blobsUrl, '--to-blobs', target.url)
    for (const { held, blobs, operations } of KILLS) {
      const letGo = await hold(target, held)
      const { child, ended } = startWaybill(args)
      await until(async () => (await counted(target, 'blobs')) === blobs)
      child.kill('SIGKILL')
      expect((await ended).code).toBeNull()
      await letGo()
      expect(await counted(target, 'blobs')).toBe(blobs)
      expect(await counted(target, 'operations')).toBe(operations)
      expect(await broken(target.store, target.blobs)).toEqual([])
    }
    const { code, out } = await waybill(args)
    expect(code).toBe(0)
    const { operations, blobs } = KILLS.at(-1) ?? { operations: 0, blobs: 0 }
    const there = `^Copied 60 operations; ${operations} .*\nCopied 11 blobs; ${blobs} were there already, unchanged\\.\n`
    expect(out).toMatch(new RegExp(there))
    expect(await broken(target.store, target.blobs)).toEqual([])
    expect(await counted(target, 'operations')).toBe(count)
  })

  test('refuses a record with a blob if not both blob stores are given, and names the cure', async ({ lab }) => {
    const [source, target] = [await place(lab), await place(lab)]
    await complete(source, 1, 10)
    for (const options of [[], ['--from-blobs', source.blobsUrl], ['--to-blobs', target.blobsUrl]]) {
      const { code, out, err } = await copy(source.url, target.url, ...options)
      expect([code, out]).toEqual([2, ''])
      expect(err).toBe(
        `waybill copy: The operation ${idOf(1)} has a blob, ${idOf(1)}/1: name both blob stores with --from-blobs URL and --to-blobs URL; with the same URL twice, blobs stay where they are.\n`,
      )
      expect(await target.store.read(idOf(1))).toBeUndefined()
      expect(readdirSync(target.path)).toEqual([])
    }
  })

  test('names missing and damaged blobs of the source, copies the others, and copies these when it is repeated', async ({
    lab,
  }) => {
    const [source, target] = [await place(lab), await place(lab)]
    for (const number of [1, 2, 3, 4]) await complete(source, number, 100_000)
    const file = (number: number) => join(source.path, idOf(number), '1')
    renameSync(file(2), `${source.path}/kept`)
    writeFileSync(file(3), bytesOf(4, 100_000))
    writeFileSync(file(4), bytesOf(4, 99_999))
    const options = ['--from-blobs', source.blobsUrl, '--to-blobs', target.blobsUrl]
    const { code, out, err } = await copy(source.url, target.url, ...options)
    expect(code).toBe(1)
    expect(err.trimEnd().split('\n').sort()).toEqual([
      `The blob ${idOf(2)}/1 is missing in the source.`,
      `The blob ${idOf(3)}/1 is not copied. In the source it is not what its record says.`,
      `The blob ${idOf(4)}/1 is not copied. In the source it is not what its record says.`,
    ])
    expect(out).toMatch(/^Copied 4 operations; 0 .*\nCopied 1 blobs; 0 /)
    expect(out).toContain(`The stores differ. The first operations that differ: ${idOf(2)}, ${idOf(3)}, ${idOf(4)}.`)
    expect(out).toContain('Parts or blobs that are lost or damaged in the source: 3, each named above.')
    expect(await target.store.dump(undefined, 10)).toEqual(await source.store.dump(undefined, 10))
    expect(readdirSync(target.path)).toEqual([idOf(1)])
    renameSync(`${source.path}/kept`, file(2))
    for (const number of [3, 4]) writeFileSync(file(number), bytesOf(number, 100_000))
    const again = await copy(source.url, target.url, ...options)
    expect(again).toMatchObject({ code: 0, err: '' })
    expect(again.out).toMatch(/^Copied 0 operations; 4 .*\nCopied 3 blobs; 1 were there already/)
    expect(await broken(target.store, target.blobs)).toEqual([])
  })

  onlyLong(() => {
    test('continues after a blob whose transfer fails, in the source or in the target', async ({ lab }) => {
      const [first, source, target] = [await place(lab), schema(lab), schema(lab)]
      for (const number of [1, 2, 3]) await complete(first, number, 300_000)
      await copy(first.url, source.url, '--from-blobs', first.blobsUrl, '--to-blobs', source.url)
      const options = ['--from-blobs', source.url, '--to-blobs', target.url]
      const breakOff = async ({ pool, name }: Target, number: number) =>
        await pool.query(`DELETE FROM "${name}".blob_chunks WHERE operation = $1 AND chunk = 1`, [idOf(number)])
      await breakOff(source, 2)
      const { code, out, err } = await copy(source.url, target.url, ...options)
      expect([code, err]).toEqual([
        1,
        `The blob ${idOf(2)}/1 is not copied. In the source it cannot be read: The blob ${idOf(2)}/1 was deleted while it was read.\n`,
      ])
      expect(out).toMatch(/^Copied 3 operations; 0 .*\nCopied 2 blobs; 0 /)
      await breakOff(target, 3)
      const again = await copy(first.url, target.url, '--from-blobs', first.blobsUrl, '--to-blobs', target.url)
      expect(again).toMatchObject({ code: 0, err: '' })
      expect(again.out).toContain('Copied 2 blobs; 1 were there already, unchanged.')
    })
  })()

  onlyLong(() => {
    test('replaces a blob of the target that has other content', async ({ lab }) => {
      const [source, target] = [await place(lab), await place(lab)]
      for (const number of [1, 2]) await complete(source, number, 1000)
      const options = ['--from-blobs', source.blobsUrl, '--to-blobs', target.blobsUrl]
      await copy(source.url, target.url, ...options)
      writeFileSync(join(target.path, idOf(1), '1'), bytesOf(7, 1000))
      expect((await copy(source.url, target.url, ...options)).out).toContain('Copied 1 blobs; 1 were there already')
      expect(await broken(target.store, target.blobs)).toEqual([])
    })
  })()

  onlyLong(() => {
    test('reports a blob that the target has stored incorrectly', async ({ lab }) => {
      const [source, target] = [await place(lab), schema(lab)]
      for (const number of [1, 2]) await complete(source, number, 1000)
      await target.blobs.open?.()
      await target.pool.query(`
        CREATE FUNCTION "${target.name}".forge() RETURNS trigger LANGUAGE plpgsql AS
          $$ BEGIN NEW.body := set_byte(NEW.body, 999, 0); RETURN NEW; END $$;
        CREATE TRIGGER forge BEFORE INSERT ON "${target.name}".blob_chunks FOR EACH ROW
          WHEN (NEW.operation = '${idOf(2)}') EXECUTE FUNCTION "${target.name}".forge()`)
      const options = ['--from-blobs', source.blobsUrl, '--to-blobs', target.url]
      const { code, out } = await copy(source.url, target.url, ...options)
      expect(code).toBe(1)
      expect(out).toMatch(/source: 2 blobs, 2000 bytes, sha256 (\w+)\ntarget: 2 blobs, 2000 bytes, sha256 (?!\1)/)
      expect(out).toContain(`The stores differ. The first operations that differ: ${idOf(2)}.`)
    })
  })()
})

describe('waybill copy, where both stores have their blobs in one place', () => {
  test('copies no blobs, and checks that they exist', async ({ lab }) => {
    const [source, target] = [await place(lab), schema(lab)]
    for (const number of [1, 2]) await complete(source, number, 1000)
    const before = [1, 2].map(number => statSync(join(source.path, idOf(number), '1')).ino)
    const options = ['--from-blobs', source.blobsUrl, '--to-blobs', `${source.blobsUrl}/../results`]
    const { code, out, err } = await copy(source.url, target.url, ...options)
    expect([code, err]).toEqual([0, ''])
    expect(out).toMatch(
      /^Copied 2 operations; .*\n2 blobs stay where they are\.\nsource: 2 operations.*\ntarget: .*\nThe stores are/,
    )
    expect([1, 2].map(number => statSync(join(source.path, idOf(number), '1')).ino)).toEqual(before)
    await target.store.open()
    expect(await broken(target.store, source.blobs)).toEqual([])
    rmSync(join(source.path, idOf(1)), { recursive: true })
    const lacking = await copy(source.url, target.url, ...options)
    expect(lacking).toMatchObject({ code: 1, err: `The blob ${idOf(1)}/1 is missing in the source.\n` })
  })

  test('copies no blob onto itself if two URLs name one place', async ({ lab }) => {
    const [source, target] = [await place(lab), await place(lab)]
    for (const number of [1, 2]) await complete(source, number, 1000)
    const alias = `${target.path}-alias`
    symlinkSync(source.path, alias)
    const file = join(source.path, idOf(2), '1')
    writeFileSync(file, bytesOf(1, 1000))
    const options = ['--from-blobs', source.blobsUrl, '--to-blobs', `folder:${alias}`]
    const { code, out } = await copy(source.url, target.url, ...options)
    expect(code).toBe(1)
    expect(out).toContain('Copied 0 blobs; 1 were there already, unchanged.')
    expect(readFileSync(file)).toEqual(bytesOf(1, 1000))
    expect(existsSync(join(source.path, idOf(1), '1'))).toBe(true)
  })
})
