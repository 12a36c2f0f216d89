import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { folderBlobs } from 'waybill/blobs/folder'
import { blobMigration, postgresBlobs } from 'waybill/blobs/postgres'
import { postgresStore } from 'waybill/stores/postgres'
import { blobStoreConformance } from 'waybill/testing'
import { onlyLong } from '../support/length.ts'
import { testDatabase } from '../support/postgres.ts'

const folder = mkdtempSync(join(tmpdir(), 'waybill-blobs-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
let count = 0
const nextPath = () => join(folder, `${++count}`)

blobStoreConformance(
  { name: 'files of a folder', make: async () => folderBlobs({ path: nextPath() }) },
  { describe, it },
)

async function* pieces(...texts: string[]) {
  for (const text of texts) yield Buffer.from(text)
}

describe('a folder', () => {
  it('is private, and leaves no partial files and no empty folders', async () => {
    const path = nextPath()
    const blobs = folderBlobs({ path })
    await blobs.open?.()
    expect(statSync(path).mode & 0o777).toBe(0o700)
    async function* failing() {
      yield Buffer.from('half')
      throw new Error('gone')
    }
    await expect(blobs.put('a/1', failing(), 'text/plain')).rejects.toThrow('gone')
    expect(readdirSync(path)).toEqual([])
    await blobs.put('a/1', pieces('whole'), 'text/plain')
    expect(readdirSync(join(path, 'a'))).toEqual(['1'])
    // As a process leaves them that is killed while it writes.
    writeFileSync(join(path, 'a', '1.00112233aabbccdd.part'), 'half')
    writeFileSync(join(path, 'a', '10.00112233aabbccdd.part'), 'half')
    await blobs.delete('a/1')
    expect(readdirSync(join(path, 'a'))).toEqual(['10.00112233aabbccdd.part'])
    await blobs.deleteAll(['a'])
    expect(readdirSync(path)).toEqual([])
  })

  it('handles concurrent puts and deletes of one operation', async () => {
    const blobs = folderBlobs({ path: nextPath() })
    await blobs.open?.()
    const all = Array.from({ length: 50 }, async (_, index) => {
      await blobs.put(`a/${index}`, pieces('x'), 'text/plain')
      await blobs.delete(`a/${index}`)
    })
    await Promise.all(all)
    expect(await blobs.get('a/0')).toBeUndefined()
  })

  it('requires a path', () => {
    expect(() => folderBlobs({ path: '' })).toThrow(TypeError)
  })
})

onlyLong(() => {
  const database = testDatabase()

  blobStoreConformance(
    {
      name: 'tables of PostgreSQL',
      make: async () => postgresBlobs(database.pool({ max: 3 }), { schema: database.nextSchema() }),
    },
    { describe, it },
  )

  describe('PostgreSQL', () => {
    it('creates its tables once, beside those of the store', async () => {
      const pool = database.pool()
      const schema = database.nextSchema()
      const store = postgresStore(pool, { schema })
      await store.open()
      const all = Array.from({ length: 4 }, () => postgresBlobs(pool, { schema }))
      await Promise.all(all.map(blobs => blobs.open?.()))
      await all[0]?.put('a/1', pieces('x'), 'text/plain')
      await all[1]?.open?.()
      expect(await all[1]?.get('a/1')).toBeDefined()
      await store.close()
    })

    it('compares strings as bytes, so that no upgrade of collations can break an index', async () => {
      const pool = database.pool()
      const schema = database.nextSchema()
      await pool.query(blobMigration(schema))
      const { rows } = await pool.query(
        `SELECT table_name, column_name FROM information_schema.columns
        WHERE table_schema = $1 AND data_type = 'text' AND collation_name IS DISTINCT FROM 'C'`,
        [schema],
      )
      expect(rows).toEqual([])
    })

    it('creates no tables if migrations are forbidden, and says what is missing', async () => {
      const pool = database.pool()
      const schema = database.nextSchema()
      const blobs = postgresBlobs(pool, { schema, migrate: false })
      await expect(blobs.open?.()).rejects.toThrow(/blobMigration/)
      await pool.query(blobMigration(schema))
      await blobs.open?.()
    })

    it('says how to grant missing permissions, and works once they are granted', async () => {
      const pool = database.pool()
      const schema = database.nextSchema()
      const user = await database.user(schema)
      const blobs = postgresBlobs(user.pool, { schema })
      await expect(blobs.open?.()).rejects.toThrow(/this user may not create them.*blobMigration\(\)/)

      await pool.query(blobMigration(schema))
      await user.grant()
      await blobs.open?.()
      expect(await blobs.put('a/1', pieces('x'), 'text/plain')).toEqual({ length: 1 })
    })

    it('leaves no chunks of an incomplete, replaced or deleted blob', async () => {
      const pool = database.pool()
      const schema = database.nextSchema()
      const blobs = postgresBlobs(pool, { schema, chunkBytes: 1024 })
      await blobs.open?.()
      const chunks = async () => (await pool.query(`SELECT count(*)::int AS n FROM "${schema}".blob_chunks`)).rows[0].n
      async function* failing() {
        yield Buffer.alloc(5000)
        throw new Error('gone')
      }
      await expect(blobs.put('a/1', failing(), 'text/plain')).rejects.toThrow('gone')
      expect(await chunks()).toBe(0)
      await blobs.put('a/1', pieces('x'.repeat(3000)), 'text/plain')
      await blobs.put('a/1', pieces('y'.repeat(1500)), 'text/plain')
      expect(await chunks()).toBe(2)
      await blobs.delete('a/1')
      expect(await chunks()).toBe(0)
    })

    it('holds no connection while a stream waits', async () => {
      const pool = database.pool({ max: 1 })
      const blobs = postgresBlobs(pool, { schema: database.nextSchema(), chunkBytes: 1024 })
      await blobs.open?.()
      async function* asking() {
        yield Buffer.alloc(2000)
        await pool.query('SELECT 1')
        yield Buffer.alloc(2000)
      }
      expect(await blobs.put('a/1', asking(), 'text/plain')).toEqual({ length: 4000 })
      for await (const _ of (await blobs.get('a/1')) ?? []) await pool.query('SELECT 1')
    })

    it('refuses invalid chunk sizes', () => {
      expect(() => postgresBlobs(database.pool(), { chunkBytes: 10 })).toThrow(/chunkBytes/)
    })
  })
})()
