import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import type { Worker } from 'node:worker_threads'
import { afterEach, describe, expect, it } from 'vitest'
import { pendingSqliteMigrations, type SqliteStoreOptions, sqliteStore } from 'waybill/stores/sqlite'
import { listAllActive } from '../../../src/stores/list-all-active.ts'
import {
  type Database,
  hasWalResetBug,
  networkFileSystem,
  openWriter,
  pragma,
} from '../../../src/stores/sqlite/database.ts'
import { migrationPlan, migrationTo, SCHEMA_VERSION } from '../../../src/stores/sqlite/schema.ts'
import type { Store } from '../../../src/stores/store.ts'
import { temporaryFolder } from '../../support/folder.ts'
import { submissionOf } from '../../support/submission.ts'

const files = temporaryFolder()
const stores: Store[] = []

afterEach(async () => {
  for (const store of stores.splice(0)) await store.close()
})

async function open(options: SqliteStoreOptions): Promise<Store> {
  const store = sqliteStore(options)
  stores.push(store)
  await store.open()
  return store
}

async function refusalOf(options: SqliteStoreOptions): Promise<Error> {
  return await open(options).then(
    () => expect.fail('It was opened.'),
    (error: Error) => error,
  )
}

/** A file with one accepted operation, changed by hand afterwards. */
async function fileWith(sql: string): Promise<string> {
  const path = files.next()
  const store = sqliteStore({ path, writer: 'inline' })
  await store.open()
  await store.accept(submissionOf('a'))
  await store.close()
  withDatabase(path, sql)
  return path
}

function withDatabase(path: string, sql: string): void {
  const database = new DatabaseSync(path)
  database.exec(sql)
  database.close()
}

/** The SQL that makes an empty file of an earlier schema version. */
function planTo(version: number): string {
  return Array.from({ length: version }, (_, index) => migrationTo(index + 1)).join('\n')
}

/** Tables with their columns and indexes with their conditions, and what marks the file. */
function schemaAfter(sql: string): unknown[] {
  const database = new DatabaseSync(':memory:')
  database.exec(sql)
  const all = (query: string) => database.prepare(query).all()
  const schema = all('SELECT name, sql FROM sqlite_schema ORDER BY name').map(({ name, sql: text }) => ({
    name,
    columns: all(`PRAGMA table_xinfo(${name})`),
    // A table that was renamed has its name in quotes.
    sql: String(text).replaceAll('"', '').replace(/\s+/g, ' '),
  }))
  const marks = ['SELECT * FROM meta', 'PRAGMA user_version', 'PRAGMA application_id'].flatMap(all)
  database.close()
  return [...schema, ...marks]
}

/** What the connection that a store itself writes with has for its pragma `synchronous`. */
async function synchronousOf(options: Partial<SqliteStoreOptions>): Promise<number> {
  const driver = new URL('../../fixtures/noting-driver.ts', import.meta.url).href
  const path = files.next()
  const store = await open({ path, driver, ...options })
  await store.accept(submissionOf('a'))
  return Number(readFileSync(`${path}.synchronous`, 'utf8'))
}

function journalOf(database: Database): unknown {
  return (database.prepare('PRAGMA journal_mode').get() as { journal_mode: string }).journal_mode
}

/** As a program of schema version 1 writes an operation whose second execution was started. */
const INSERT_ONE = `
  INSERT INTO operations (id, type, owner, status, version, priority, created_at, updated_at, attempt, released, lost,
    max_attempts, max_lost, retention, launches, execution, cancel_requested, webhook_due, history)
  VALUES ('a', 'orders', '', 0, 3, 0, 1, 1, 1, 0, 1, 3, 2, 1000, 1, 'job-2', 0, 0, '[{"number":1,"execution":"job-1"}]')`

const INPUT_OF_ONE = "INSERT INTO inputs (number, body) SELECT number, '1' FROM operations WHERE id = 'a'"

const IDS_OF_SEVEN = [1, 2, 3].map(number => `01941f29-7c00-7000-8000-${String(number).padStart(12, '0')}`)

/** As a program of schema version 7 leaves three operations, with everything beside the first, and one with another id. */
const SEVEN = `
  INSERT INTO operations (id, type, owner, status, version, priority, created_at, updated_at, started_at,
    attempt_started_at, finished_at, expires_at, holder, lease_until, ended, tags, attempt, released, lost,
    max_attempts, max_lost, retention, launches, cancel_requested, webhook_due)
  SELECT *, 1, 0, 0, 3, 2, 60000, 0, 0, 0 FROM (VALUES
    ('${IDS_OF_SEVEN[0]}', 'orders', '', 0, 1, 0, 1000, 1000, null, null, null, null, null, null, null, '{"a":"1"}'),
    ('${IDS_OF_SEVEN[1]}', 'orders', '', 1, 2, 0, 1000, 2500, 1500, 2000, null, null, 'host/1', 9000, null, null),
    ('${IDS_OF_SEVEN[2]}', 'orders', '', 2, 3, 0, 1000, 3000, 1500, 2000, 3000, 63000, 'host/1', null, 2, null),
    ('a', 'orders', '', 0, 1, 0, 1000, 1000, null, null, null, null, null, null, null, null));
  INSERT INTO inputs VALUES (1, '1');
  INSERT INTO steps VALUES ('${IDS_OF_SEVEN[0]}', 'pay', '7');
  INSERT INTO logs VALUES ('${IDS_OF_SEVEN[0]}', 1, 1000, 1, 'info', 'Paid.');
  INSERT INTO errors VALUES ('${IDS_OF_SEVEN[0]}', 1, '{"name":"Error","message":"No."}')`

const WRITERS = ['inline', 'thread'] as const

describe('opening a SQLite file', () => {
  it('creates the file and its folders', async () => {
    const path = `${files.next()}.d/deep/er/orders.db`
    await open({ path })
    expect(existsSync(path)).toBe(true)
  })

  it.each(WRITERS)('fails where no folder can be made (%s)', async writer => {
    const error = await refusalOf({ path: '/proc/none/orders.db', writer })
    expect(error.message).toMatch(/^The SQLite file "\/proc\/none\/orders\.db" cannot be opened: .*, mkdir/)
    expect(error.message).toContain('Name a file that this process may read and write')
    expect(error.cause).toMatchObject({ code: expect.any(String), syscall: 'mkdir' })
  })

  it.each(WRITERS)('refuses the database of another program, and leaves it as it was (%s)', async writer => {
    const path = files.next()
    withDatabase(path, "CREATE TABLE notes (text); INSERT INTO notes VALUES ('mine')")
    const before = readFileSync(path)
    await expect(open({ path, writer })).rejects.toThrow(`"${path}" belongs to another program`)
    expect(readFileSync(path)).toEqual(before)
    expect(existsSync(`${path}-wal`)).toBe(false)
  })

  it('refuses an empty database that another program has marked as its own', async () => {
    const path = files.next()
    withDatabase(path, 'PRAGMA user_version = 7')
    await expect(open({ path })).rejects.toThrow('belongs to another program')
  })

  it.each(WRITERS)('refuses what is not a database (%s)', async writer => {
    const path = files.next()
    writeFileSync(path, 'This is a letter and no database. '.repeat(100))
    const error = await refusalOf({ path, writer })
    const message = `The SQLite file "${path}" cannot be opened: file is not a database. Name a new file, or the one that Waybill made.`
    expect(error.message).toBe(message)
    expect(error.cause).toMatchObject({ message: 'file is not a database', errcode: 26 })
  })

  it.each(WRITERS)('refuses a folder (%s)', async writer => {
    const path = files.next()
    mkdirSync(path)
    const error = await refusalOf({ path, writer })
    expect(error.message).toMatch(/^The SQLite file ".*" cannot be opened: .*\. That is a folder: name a file in it\.$/)
    expect(error.message).toContain(`"${path}"`)
    expect(error.cause).toBeInstanceOf(Error)
  })

  it('names the file that another process keeps locked, and the cure', async () => {
    const path = await fileWith('')
    const other = new DatabaseSync(path)
    other.exec('BEGIN IMMEDIATE')
    const database = new DatabaseSync(path, { timeout: 0 })
    const { message } = await refusalOf({ path, database })
    expect(message).toBe(
      `The SQLite file "${path}" cannot be opened: database is locked. Another process keeps it locked: end that one, or try again when it has ended.`,
    )
    other.close()
    database.close()
  })

  it('is read by a plan for its migration, which refuses a file that is not a database', async () => {
    const path = files.next()
    writeFileSync(path, 'This is a letter and no database. '.repeat(100))
    await expect(pendingSqliteMigrations(path)).rejects.toThrow(`"${path}" cannot be opened: file is not a database.`)
  })

  it('refuses an invalid driver, by its name', async () => {
    await expect(open({ path: files.next(), driver: 'node:path' })).rejects.toThrow('"node:path"')
    await expect(open({ path: files.next(), driver: 'no-such-driver' })).rejects.toThrow('no-such-driver')
  })

  it.each(WRITERS)('refuses the file of a newer Waybill that this one cannot work with (%s)', async writer => {
    const next = SCHEMA_VERSION + 1
    const path = await fileWith(
      `PRAGMA user_version = ${next}; UPDATE meta SET value = ${next} WHERE key = 'readable_by'`,
    )
    await expect(open({ path, writer })).rejects.toThrow(`"${path}" has schema version ${next}`)
  })

  it('uses the file of a newer Waybill if it is compatible, and ignores new columns', async () => {
    const path = await fileWith(
      `PRAGMA user_version = ${SCHEMA_VERSION + 1}; ALTER TABLE operations ADD COLUMN novelty TEXT`,
    )
    const store = await open({ path })
    expect((await store.read('a'))?.status).toBe('pending')
    await store.accept(submissionOf('b'))
    expect((await store.change('a', { kind: 'cancel' }))?.status).toBe('canceled')
  })

  it('has the same schema whether it is new or was migrated', () => {
    const made = schemaAfter(migrationPlan(0))
    expect(made).toEqual(schemaAfter(planTo(SCHEMA_VERSION)))
    expect(made.length).toBeGreaterThan(20)
  })

  it('migrates a file of schema version 1, whose history names no engines', async () => {
    const path = files.next()
    withDatabase(path, `${planTo(1)}; ${INSERT_ONE}; ${INPUT_OF_ONE}`)
    const store = await open({ path })
    const operation = await store.read('a')
    expect(operation).toMatchObject({ execution: 'job-2', engine: null })
    expect(operation?.history).toEqual([{ number: 1, execution: 'job-1', engine: null }])
    expect(await listAllActive(store)).toMatchObject([{ execution: 'job-2', engine: null }])
    await store.claim({ holder: 'h', leaseMs: 1000, execution: 'job-2', engine: 'jobs', from: { id: 'a' } })
    expect(await store.read('a')).toMatchObject({ execution: 'job-2', engine: 'jobs' })
  })

  it('migrates a file of schema version 7, with everything in it', async () => {
    const path = files.next()
    withDatabase(path, `${planTo(7)}; ${SEVEN}`)
    const store = await open({ path, clock: () => 5000 })
    const [waiting, running, done] = await Promise.all(IDS_OF_SEVEN.map(id => store.read(id)))
    const times = { createdAt: 1000, startedAt: 1500, attemptStartedAt: 2000 }
    expect(waiting).toMatchObject({
      status: 'pending',
      createdAt: 1000,
      updatedAt: 1000,
      startedAt: null,
      tags: { a: '1' },
    })
    expect(running).toMatchObject({ ...times, status: 'running', updatedAt: 2500, holder: 'host/1', leaseUntil: 9000 })
    expect(done).toMatchObject({ ...times, status: 'completed', updatedAt: 3000, finishedAt: 3000, expiresAt: 63_000 })
    expect(done?.history).toMatchObject([{ holder: 'host/1', startedAt: 2000, finishedAt: 3000, outcome: 'completed' }])
    const [id = ''] = IDS_OF_SEVEN
    const kept = await Promise.all([
      store.steps(id),
      store.logs(id, 0),
      store.errors(id),
      store.readPayload(id, 'input'),
    ])
    expect(kept).toMatchObject([new Map([['pay', '7']]), [{ sequence: 1, message: 'Paid.' }], [{ attempt: 1 }], '1'])
    expect((await store.read('a'))?.status).toBe('pending')
    const query = { type: 'orders', owner: '', limit: 10 }
    expect((await store.list(query)).map(operation => operation.id)).toEqual(['a', ...IDS_OF_SEVEN.toReversed()])
  })

  it('makes a running process of schema version 7 fail, so that it misreads nothing', async () => {
    const path = files.next()
    const old = new DatabaseSync(path)
    old.exec(`${planTo(7)}; ${SEVEN}`)
    // Prepared before the file is migrated, as by a process that goes on.
    const read = old.prepare('SELECT status FROM operations WHERE id = ?')
    const [id = ''] = IDS_OF_SEVEN
    expect(read.get(id)).toMatchObject({ status: 0 })
    await open({ path })
    expect(() => read.get(id)).toThrow('no such column: id')
    old.close()
  })

  it('can be tried again after a failure', async () => {
    const path = files.next()
    mkdirSync(path)
    const store = sqliteStore({ path: `${path}/a.db` })
    stores.push(store)
    writeFileSync(`${path}/a.db`, 'no database'.repeat(100))
    await expect(store.open()).rejects.toThrow()
    writeFileSync(`${path}/a.db`, '')
    await store.open()
    expect((await store.accept(submissionOf('a'))).kind).toBe('accepted')
  })

  it('recognizes the network shares without reliable locks, and no others', () => {
    const [nfs, cifs, ext4, tmpfs, overlay] = [0x6969, 0xff534d42, 0xef53, 0x01021994, 0x794c7630]
    expect([nfs, cifs].map(networkFileSystem)).toEqual(['NFS', 'CIFS'])
    expect([ext4, tmpfs, overlay].map(networkFileSystem)).toEqual([undefined, undefined, undefined])
  })

  it.each(WRITERS)('waits its turn beside a process that writes at the first moment of the file (%s)', async writer => {
    const driver = new URL('../../fixtures/crowded-driver.ts', import.meta.url).href
    const store = await open({ path: files.next(), driver, writer })
    expect((await store.accept(submissionOf('a'))).kind).toBe('accepted')
  })

  it('warns if its SQLite can corrupt a file that several connections write', async () => {
    const driver = new URL('../../fixtures/old-driver.ts', import.meta.url).href
    const warnings: string[] = []
    await open({ path: files.next(), driver, writer: 'inline', warn: message => warnings.push(message) })
    expect(warnings).toEqual([expect.stringMatching(/^SQLite 3\.46\.1 has a bug .* 3\.51\.3 or later/)])
    await open({ path: files.next(), warn: message => warnings.push(message) })
    expect(warnings).toHaveLength(1)
  })

  it('knows the versions that have the WAL-reset bug', () => {
    const affected = ['3.7.0', '3.44.5', '3.46.1', '3.50.6', '3.51.2']
    const fixed = ['3.44.6', '3.50.7', '3.51.3', '3.52.0', '3.53.4', '4.0.0']
    expect(affected.map(hasWalResetBug)).toEqual(affected.map(() => true))
    expect(fixed.map(hasWalResetBug)).toEqual(fixed.map(() => false))
  })

  it.each(WRITERS)(
    'syncs each commit to the disk, unless told that a crash of the process is enough (%s)',
    async writer => {
      const database = await openWriter({ path: files.next(), driver: 'node:sqlite', synchronous: 'FULL' })
      expect([pragma(database, 'synchronous'), journalOf(database)]).toEqual([2, 'wal'])
      database.close()
      expect(await synchronousOf({ writer })).toBe(2)
      expect(await synchronousOf({ writer, synchronous: 'FULL' })).toBe(2)
      expect(await synchronousOf({ writer, synchronous: 'NORMAL' })).toBe(1)
    },
  )

  it('says what to do when it is used before it is open', async () => {
    const store = sqliteStore({ path: ':memory:' })
    await expect(store.read('a')).rejects.toThrow('call open() first')
    await expect(store.accept(submissionOf('a'))).rejects.toThrow('not open')
  })

  it('uses a connection of the caller, and closes it', async () => {
    const database = new DatabaseSync(':memory:')
    const store = await open({ path: ':memory:', database })
    await store.accept(submissionOf('a'))
    expect(database.prepare('SELECT count(*) AS count FROM operations').get()).toEqual({ count: 1 })
    await store.close()
    expect(() => database.exec('SELECT 1')).toThrow()
  })

  it('leaves one file, with everything in it', async () => {
    const path = await fileWith('')
    expect(existsSync(`${path}-wal`)).toBe(false)
    const copy = files.next()
    copyFileSync(path, copy)
    expect((await (await open({ path: copy })).read('a'))?.id).toBe('a')
  })
})

describe('a write that fails', () => {
  // Not a number: no column takes it.
  const broken = submissionOf('broken', { priority: Number.NaN })

  it.each(WRITERS)('fails alone: the others of its batch are written (%s)', async writer => {
    const store = await open({ path: files.next(), writer })
    await store.accept(submissionOf('running'))
    const settled = await Promise.allSettled([
      store.accept(submissionOf('a')),
      store.accept(broken),
      store.change('running', { kind: 'cancel' }),
      store.accept(submissionOf('b')),
    ])
    expect(settled.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled'])
    for (const id of ['a', 'b']) expect((await store.read(id))?.status).toBe('pending')
    expect((await store.read('running'))?.status).toBe('canceled')
    expect(await store.read('broken')).toBeUndefined()
    expect(await store.readPayload('broken', 'input')).toBeUndefined()
  })

  it('is refused with its whole batch while another process keeps the file locked, and succeeds afterwards', async () => {
    const path = await fileWith('')
    // A connection that does not wait for a lock.
    const store = await open({ path, database: new DatabaseSync(path, { timeout: 0 }) })
    const other = new DatabaseSync(path)
    other.exec('BEGIN IMMEDIATE')
    const settled = await Promise.allSettled([store.accept(submissionOf('b')), store.accept(submissionOf('c'))])
    expect(settled.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
    expect((await store.read('a'))?.id).toBe('a')
    other.exec('ROLLBACK')
    other.close()
    await store.accept(submissionOf('b'))
    expect((await store.read('b'))?.id).toBe('b')
    expect(await store.read('c')).toBeUndefined()
  })

  it('waits for a lock that is soon released', async () => {
    const path = await fileWith('')
    const store = await open({ path })
    const other = new DatabaseSync(path)
    other.exec('BEGIN IMMEDIATE')
    const write = store.accept(submissionOf('b'))
    expect((await store.read('a'))?.id).toBe('a')
    other.exec('COMMIT')
    other.close()
    expect((await write).kind).toBe('accepted')
  })
})

describe("the writer's thread", () => {
  it.each([null, 'ready', { 'watch:import': ['file:///a.js'] }, { kind: 'settled', settled: [{ value: 1 }] }])(
    'and its store pass over %j, which others have posted',
    async posted => {
      const threads: Worker[] = []
      const note = (thread: Worker) => void threads.push(thread)
      process.on('worker', note)
      const store = await open({ path: files.next() })
      process.off('worker', note)
      const accepted = store.accept(submissionOf('a'))
      for (const thread of threads) {
        thread.postMessage(posted)
        thread.emit('message', posted)
      }
      setImmediate(() => threads[0]?.emit('message', posted))
      expect(await accepted).toMatchObject({ kind: 'accepted', operation: { id: 'a' } })
      expect((await store.accept(submissionOf('b'))).kind).toBe('accepted')
    },
  )

  it('receives the valid writes of a batch if one of them cannot be sent', async () => {
    const store = await open({ path: files.next() })
    const uncloneable = { ...submissionOf('b'), input: (() => {}) as unknown as string }
    const settled = await Promise.allSettled(
      [submissionOf('a'), uncloneable, submissionOf('c')].map(submission => store.accept(submission)),
    )
    expect(settled.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    for (const id of ['a', 'c']) expect((await store.read(id))?.status).toBe('pending')
  })

  it('is not started for the few writes of a process that runs one operation', async () => {
    const threads: Worker[] = []
    const note = (thread: Worker) => void threads.push(thread)
    process.on('worker', note)
    const store = sqliteStore({ path: files.next() })
    stores.push(store)
    await store.open({ brief: true })
    expect((await store.accept(submissionOf('a'))).kind).toBe('accepted')
    process.off('worker', note)
    expect(threads).toEqual([])
  })

  it('is replaced when it has died: its pending writes are rejected, and the store continues', async () => {
    const threads: Worker[] = []
    const note = (thread: Worker) => void threads.push(thread)
    process.on('worker', note)
    const store = await open({ path: files.next() })
    process.off('worker', note)
    await store.accept(submissionOf('a'))

    const [thread] = threads
    const writes = Array.from({ length: 50 }, (_, index) => store.accept(submissionOf(`b${index}`)))
    await thread?.terminate()
    const settled = await Promise.allSettled(writes)
    expect((await store.accept(submissionOf('c'))).kind).toBe('accepted')
    for (const [index, { status }] of settled.entries()) {
      // Rejected means unknown; fulfilled means durable.
      if (status === 'fulfilled') expect(await store.read(`b${index}`)).toBeDefined()
    }
    for (const id of ['a', 'c']) expect(await store.read(id)).toBeDefined()
  })

  it('is replaced if it died while it was idle', async () => {
    const threads: Worker[] = []
    const note = (thread: Worker) => void threads.push(thread)
    process.on('worker', note)
    const store = await open({ path: files.next() })
    process.off('worker', note)
    await threads[0]?.terminate()
    expect((await store.accept(submissionOf('a'))).kind).toBe('accepted')
    await store.close()
  })
})

it('a status and a list do not parse a long history', async () => {
  const path = await fileWith("UPDATE operations SET history = 'no JSON at all' || hex(zeroblob(1500))")
  const store = await open({ path, writer: 'inline' })
  expect(await store.read('a').then(operation => operation?.status)).toBe('pending')
  const { type, owner } = submissionOf('a')
  expect(await store.list({ type, owner, limit: 10 }).then(found => found.map(({ id }) => id))).toEqual(['a'])
  expect(await store.read('a').then(operation => () => operation?.history)).toThrow(SyntaxError)
})
