import { Pool, type PoolClient, type QueryArrayConfig } from 'pg'
import { afterEach, beforeAll, describe, expect, expectTypeOf, it } from 'vitest'
import { migrationPlan, type PostgresPool, type PostgresStoreOptions, postgresStore } from 'waybill/stores/postgres'
import { listAllActive } from '../../../src/stores/list-all-active.ts'
import { quoteSchema, SCHEMA_VERSION } from '../../../src/stores/postgres/schema.ts'
import { statementsFor } from '../../../src/stores/postgres/statements.ts'
import { acceptedOperation, type Store } from '../../../src/stores/store.ts'
import { numberedId } from '../../../src/testing/store-conformance/context.ts'
import { atLength, onlyLong } from '../../support/length.ts'
import { testDatabase } from '../../support/postgres.ts'
import { submissionOf } from '../../support/submission.ts'
import { countUnfinished } from '../../support/unfinished.ts'

const database = testDatabase()
const stores: Store[] = []
let pool: Pool

beforeAll(() => {
  pool = database.pool()
})

afterEach(async () => {
  for (const store of stores.splice(0)) await store.close()
})

async function open(options: PostgresStoreOptions = {}, on: PostgresPool = pool): Promise<Store> {
  const store = postgresStore(on, { schema: database.nextSchema(), ...options })
  stores.push(store)
  await store.open()
  return store
}

const ID = numberedId(1)

async function accepts(store: Store, id = ID): Promise<void> {
  expect((await store.accept(submissionOf(id))).kind).toBe('accepted')
}

describe('the pool', () => {
  it('can be that of the pg package', () => {
    expectTypeOf<Pool>().toExtend<PostgresPool>()
  })

  it('may have only one connection: the store then polls', async () => {
    const single = database.pool({ max: 1 })
    await accepts(await open({}, single))
  })

  it('stays open when the store is closed, and a lost idle connection ends no process', async () => {
    const store = await open()
    const own = database.pool()
    const other = await open({}, own)
    await accepts(other)
    await pool.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'`,
    )
    await expect
      .poll(() =>
        accepts(store).then(
          () => true,
          () => false,
        ),
      )
      .toBe(true)
    await other.close()
    await expect.poll(() => own.query('SELECT 1 AS one').then(({ rows }) => rows, String)).toEqual([{ one: 1 }])
  })
})

describe('options', () => {
  it.each([
    { timeout: 0 },
    { pollInterval: -1 },
    { checkInterval: Number.NaN },
    { schema: '' },
    { schema: 'x'.repeat(49) },
  ])('refuses %j by its name', options => {
    const [name = ''] = Object.keys(options)
    expect(() => postgresStore(pool, options)).toThrow(name)
  })

  it.each([`o'neil "the \\ 1st"; ü`, '"'.repeat(48), 'x'.repeat(48)])('accepts the schema %s', async schema => {
    const store = await open({ schema }, database.pool({ max: 2 }))
    await accepts(store)
    expect((await store.read(ID))?.status).toBe('pending')
    expect(await store.sweep(10)).toEqual({ expired: [], purged: [] })
  })

  it.each(['"', 'x'])('has names of statements that PostgreSQL does not cut off, for a schema of 48 %s', letter => {
    const schema = quoteSchema(letter.repeat(48))
    const names = Object.values(statementsFor(schema)).map(({ name }) => Buffer.byteLength(name))
    expect(Math.max(...names)).toBeLessThanOrEqual(63)
  })

  it('says what to do when it is used before it is open', async () => {
    await expect(postgresStore(pool).read(ID)).rejects.toThrow('call open() first')
  })

  it('refuses a server that is too old', async () => {
    const client = {
      query: async () => ({ rows: [[130_011, 1, '13.11']] }),
      on: () => {},
      off: () => {},
      release: () => {},
    }
    const old: PostgresPool = { connect: async () => client, on: () => {}, off: () => {} }
    await expect(postgresStore(old).open()).rejects.toThrow('has version 13.11; Waybill needs 14 or newer')
  })
})

describe('migrations', () => {
  it('run once when many processes start at once', async () => {
    const schema = database.nextSchema()
    const pools = Array.from({ length: 6 }, () => database.pool({ max: 3 }))
    const opened = await Promise.all(pools.map(on => open({ schema }, on)))
    for (const [index, store] of opened.entries()) await accepts(store, numberedId(index + 1))
    const { rows } = await pool.query(`SELECT version FROM ${schema}.migrations`)
    expect(rows).toHaveLength(SCHEMA_VERSION)
  })

  it('can be run by hand: the plan creates the same as the store', async () => {
    const [byHand, byStore] = [database.nextSchema(), database.nextSchema()]
    await pool.query(migrationPlan({ schema: byHand }))
    await open({ schema: byStore })
    expect(await describeSchema(byHand)).toEqual(await describeSchema(byStore))
    await accepts(await open({ schema: byHand, migrate: false }))
  })

  it('let PostgreSQL analyze the operations from few rows: the highest target of a column counts', async () => {
    const schema = database.nextSchema()
    await open({ schema })
    const { rows } = await pool.query<{ attname: string }>(`
      SELECT attname FROM pg_attribute
      WHERE attrelid IN (
        SELECT '${schema}.operations'::regclass
        UNION ALL SELECT indexrelid FROM pg_index WHERE indrelid = '${schema}.operations'::regclass AND indexprs IS NOT NULL)
      AND attnum > 0 AND NOT attisdropped AND coalesce(nullif(attstattarget, -1), 100) > 10`)
    expect(rows.map(({ attname }) => attname)).toEqual([])
  })

  it('have an empty plan when there is nothing to do', () => {
    expect(migrationPlan({ from: SCHEMA_VERSION })).toBe('')
  })

  it('are not run if the option forbids it', async () => {
    await expect(open({ migrate: false })).rejects.toThrow(
      /^There is no Waybill store in .*configured not to migrate it/,
    )
    const { rows } = await pool.query(`SELECT 1 FROM pg_namespace WHERE nspname = '${database.lastSchema()}'`)
    expect(rows).toEqual([])
    const older = await versionOf(1)
    await expect(open({ schema: older, migrate: false })).rejects.toThrow(
      /has version 1, .*configured not to migrate it/,
    )
    expect((await pool.query(`SELECT version FROM ${older}.migrations`)).rows).toEqual([{ version: 1 }])
  })

  it('that fail leave nothing behind', async () => {
    const schema = database.nextSchema()
    await pool.query(`CREATE SCHEMA ${schema}; CREATE TABLE ${schema}.logs (mine text)`)
    await expect(open({ schema })).rejects.toThrow('"logs" already exists')
    const { rows } = await pool.query(`SELECT tablename FROM pg_tables WHERE schemaname = '${schema}'`)
    expect(rows).toEqual([{ tablename: 'logs' }])
  })

  it('refuse a database of a newer, incompatible version of Waybill', async () => {
    const schema = await newerSchema(SCHEMA_VERSION + 1)
    await expect(open({ schema })).rejects.toThrow(`schema version ${SCHEMA_VERSION + 1}`)
  })

  it('refuse a database that a newer, incompatible version has migrated while this one waited for its turn', async () => {
    const schema = await versionOf(SCHEMA_VERSION - 1)
    const newer = await pool.connect()
    await newer.query(`BEGIN; SELECT pg_advisory_xact_lock(hashtextextended('waybill/${schema}', 0))`)
    const opened = open({ schema }).then(String, String)
    const waiting = `SELECT count(*)::int AS count FROM pg_locks WHERE locktype = 'advisory' AND NOT granted`
    await expect.poll(async () => (await pool.query(waiting)).rows).toEqual([{ count: 1 }])
    await newer.query(`
      INSERT INTO ${schema}.migrations (version, readable_by)
      VALUES (${SCHEMA_VERSION}, 1), (${SCHEMA_VERSION + 1}, ${SCHEMA_VERSION + 1});
      COMMIT`)
    newer.release()
    expect(await opened).toContain(`has schema version ${SCHEMA_VERSION + 1}, and this Waybill knows version`)
  })

  it('let this version work with tables of the next one, which have more columns and indexes', async () => {
    const schema = database.nextSchema()
    const before = await open({ schema })
    await accepts(before, numberedId(1))
    await newerSchema(1, schema)
    const after = await open({ schema })
    await accepts(after, numberedId(2))
    await accepts(before, numberedId(3))
    const from = { types: [{ type: 'orders', limit: 9 }], limit: 9 }
    expect(await before.claim({ holder: 'h', leaseMs: 1000, execution: null, from })).toHaveLength(3)
  })

  it('migrate a database of schema version 1, whose history names no engines', async () => {
    const schema = await versionOf(1)
    await pool.query(insertOne(schema))
    const store = await open({ schema })
    expect(await store.read(ID)).toMatchObject({
      execution: 'job-2',
      engine: null,
      history: [{ number: 1, execution: 'job-1', engine: null }],
    })
    expect(await listAllActive(store)).toMatchObject([{ execution: 'job-2', engine: null }])
    await store.claim({ holder: 'h', leaseMs: 1000, execution: 'job-2', engine: 'jobs', from: { id: ID } })
    expect(await store.read(ID)).toMatchObject({ execution: 'job-2', engine: 'jobs' })
  })

  it('let a process of schema version 1 continue with its prepared statements', async () => {
    const schema = await versionOf(1)
    const old = await pool.connect()
    const run = (name: string, text: string) =>
      old.query({ name, text: text.replaceAll('operations', `${schema}.operations`) })
    const launch = 'UPDATE operations SET launches = launches + 1, execution = NULL WHERE status = 0 RETURNING id'
    const holdings = `
      SELECT id, execution FROM (SELECT * FROM operations WHERE status = 1
        UNION ALL SELECT * FROM operations WHERE status = 0 AND execution IS NOT NULL) AS held LIMIT 10000`
    const runAll = async () => [await run('launch', launch), await run('holdings', holdings)].map(({ rows }) => rows)
    expect(await runAll()).toEqual([[], []])
    const store = await open({ schema })
    await pool.query(insertOne(schema))
    await store.change(ID, { kind: 'launched', launch: 1, execution: 'job-3', engine: 'jobs' })
    expect((await run('holdings', holdings)).rows).toEqual([{ id: ID, execution: 'job-3' }])
    expect(await runAll()).toEqual([[{ id: ID }], []])
    expect(await store.read(ID)).toMatchObject({ execution: null, engine: null })
    const [claim] = await store.claim({ holder: 'h', leaseMs: 1000, from: { id: ID } })
    expect(claim?.operation).toMatchObject({ execution: null, engine: null })
    expect(await listAllActive(store)).toMatchObject([{ execution: null, engine: null }])
    old.release()
  })

  it('keep results where a process of schema version 7 has written them, and find them there', async () => {
    const schema = await versionOf(7)
    const store = await open({ schema })
    // A process that has not ended yet writes as before.
    await pool.query(`
      INSERT INTO ${schema}.operations (id, type, owner, created_at, updated_at, retention, priority, max_attempts,
        max_lost, attempt, status, finished_at, purge_at)
      VALUES ('${ID}', 'orders', '', 1, 1, 1000, 0, 3, 2, 1, 2, 2, 3);
      INSERT INTO ${schema}.payloads (id, kind, body) VALUES ('${ID}', 0, '1'), ('${ID}', 1, '"before"')`)
    expect(await store.readWithOutput?.(ID)).toMatchObject({ output: '"before"' })
    expect(await store.readPayload(ID, 'output')).toBe('"before"')
    const [dump] = await store.dump(undefined, 1)
    expect(dump).toMatchObject({ input: '1', output: '"before"' })
    const other = await open()
    await other.restore(dump === undefined ? [] : [dump])
    expect(await other.readPayload(ID, 'output')).toBe('"before"')
    await store.sweep(10)
    expect(await store.readPayload(ID, 'output')).toBeUndefined()
    expect((await pool.query(`SELECT 1 FROM ${schema}.payloads`)).rows).toEqual([])
  })

  it('that wait for a long transaction do not block others meanwhile', async () => {
    const schema = await versionOf(1)
    const long = await pool.connect()
    await long.query('BEGIN')
    await long.query(`SELECT 1 FROM ${schema}.operations`)
    const opening = open({ schema })
    const waits = `SELECT 1 FROM pg_locks WHERE relation = '${schema}.operations'::regclass AND NOT granted`
    await expect.poll(async () => (await pool.query(waits)).rowCount, { timeout: 240_000 }).toBe(1)
    // It comes after the migration, which waits: it has its turn though the transaction goes on.
    expect((await pool.query(`SELECT 1 FROM ${schema}.operations`)).rowCount).toBe(0)
    expect((await pool.query(`SELECT version FROM ${schema}.migrations`)).rows).toEqual([{ version: 1 }])
    await long.query('COMMIT')
    long.release()
    await accepts(await opening)
  })

  it('name the cure to a user who may not run them, who can work once they were run', async () => {
    const schema = database.nextSchema()
    const { pool: limited, grant } = await database.user(schema)
    const error = await open({ schema }, limited).catch((it: unknown) => it)
    expect(String(error)).toMatch(/this user may not migrate it.*"waybill migrate --plan"/s)

    await pool.query(migrationPlan({ schema }))
    await grant()
    const store = await open({ schema }, limited)
    await accepts(store)
    const [claim] = await store.claim({ holder: 'h', leaseMs: 1000, execution: null, from: { id: ID } })
    expect(claim?.operation.attempt).toBe(1)
    const outcome = { kind: 'completed', output: '1' } as const
    expect((await store.change(ID, { kind: 'finish', attempt: 1, outcome }))?.status).toBe('completed')
    expect(await store.sweep(10)).toEqual({ expired: [], purged: [] })
  })
})

describe('a row that the server refuses', () => {
  // Not a number: no column takes it.
  const broken = (id: string) => submissionOf(id, { priority: Number.NaN })

  it('fails alone: the others of its batch are accepted', async () => {
    const store = await open()
    const submissions = Array.from({ length: 60 }, (_, index) => {
      const id = numberedId(index)
      return index % 20 === 7 ? broken(id) : submissionOf(id)
    })
    const settled = await Promise.allSettled(submissions.map(it => store.accept(it)))
    const failed = settled.flatMap(({ status }, index) => (status === 'rejected' ? [index] : []))
    expect(failed).toEqual([7, 27, 47])
    expect(await store.list({ type: 'orders', owner: '', limit: 100 })).toHaveLength(57)
    expect(await store.readPayload(numberedId(7), 'input')).toBeUndefined()
  })

  it('fails alone: the others of its batch are changed', async () => {
    const store = await open()
    const ids = [1, 2, 3, 4].map(numberedId)
    await Promise.all(ids.map(id => store.accept(submissionOf(id))))
    for (const id of ids) await store.claim({ holder: 'h', leaseMs: 1000, execution: null, from: { id } })
    const finish = (id: string, output: string) =>
      store.change(id, { kind: 'finish', attempt: 1, outcome: { kind: 'completed', output } })
    const settled = await Promise.allSettled(ids.map((id, index) => finish(id, index === 2 ? '"\0"' : '1')))
    expect(settled.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'fulfilled'])
    expect((await store.read(ids[2] ?? ''))?.status).toBe('running')
    expect((await store.read(ids[3] ?? ''))?.status).toBe('completed')
  })

  it('is refused before it is sent if it contains invalid text, with the name of the field', async () => {
    const store = await open()
    for (const [field, text] of [
      ['input', '"\0"'],
      ['owner', 'a\0'],
      ['idempotencyKey', '\ud800'],
    ] as const) {
      await expect(store.accept(submissionOf(ID, { [field]: text }))).rejects.toThrow(`"${field}" holds a NUL`)
    }
    const note = { kind: 'step', name: '\0', value: '1' } as const
    await expect(store.appendNote({ id: ID, attempt: 1 }, note)).rejects.toThrow('"name"')
  })

  it('is changed to valid text if it is a log line', async () => {
    const store = await open()
    await accepts(store)
    await store.claim({ holder: 'h', leaseMs: 1000, execution: null, from: { id: ID } })
    await store.appendNote({ id: ID, attempt: 1 }, { kind: 'log', level: 'info', message: 'a\0b\ud800' })
    expect((await store.logs(ID, 0)).map(({ message }) => message)).toEqual(['a\ufffdb\ufffd'])
  })

  it('does not result from invalid ids: such an operation does not exist', async () => {
    const store = await open()
    for (const id of ['', 'a', ID.toUpperCase().replace('1', 'A'), `${ID}0`, "'; DROP TABLE operations"]) {
      expect(await store.read(id)).toBeUndefined()
      expect(await store.change(id, { kind: 'cancel' })).toBeUndefined()
      expect(await store.renew([{ id, attempt: 1 }], 1000)).toEqual([{ kind: 'lost' }])
      expect(await store.appendNote({ id, attempt: 1 }, { kind: 'log', level: 'info', message: '' })).toBe(false)
      expect(await store.list({ type: 'orders', owner: '', limit: 1, after: id })).toEqual([])
    }
  })
})

describe('a lock that another transaction holds', () => {
  it('delays only calls on the same rows, for at most one second', async () => {
    const store = await open()
    const schema = database.lastSchema()
    const client = await pool.connect()
    await client.query('BEGIN')
    const keyed = submissionOf(numberedId(1), { idempotencyKey: 'k' })
    await store.acceptWithin?.(keyed, client)
    const again = submissionOf(numberedId(2), { idempotencyKey: 'k' })
    const others = Array.from({ length: 20 }, (_, index) => submissionOf(numberedId(10 + index)))
    const settled = await Promise.allSettled([again, ...others].map(it => store.accept(it)))
    expect(settled.map(({ status }) => status)).toEqual(['rejected', ...others.map(() => 'fulfilled')])
    await client.query('COMMIT')
    client.release()
    expect(await store.accept(again)).toMatchObject({ kind: 'known', operation: { id: keyed.id } })
    expect((await pool.query('SHOW lock_timeout')).rows).toEqual([{ lock_timeout: '0' }])
    expect((await pool.query(`SELECT count(*)::int FROM ${schema}.operations`)).rows).toEqual([{ count: 21 }])
  })

  it('does not delay a claim of ready operations', async () => {
    const store = await open()
    const schema = database.lastSchema()
    await accepts(store, numberedId(1))
    await accepts(store, numberedId(2))
    const client = await pool.connect()
    await client.query('BEGIN')
    await client.query(`SELECT 1 FROM ${schema}.operations WHERE id = '${numberedId(1)}' FOR UPDATE`)
    const from = { types: [{ type: 'orders', limit: 9 }], limit: 9 }
    const claims = await store.claim({ holder: 'h', leaseMs: 1000, execution: null, from })
    expect(claims.map(({ operation }) => operation.id)).toEqual([numberedId(2)])
    await client.query('ROLLBACK')
    client.release()
  })

  it.each(['ready', 'due'])('on the beginning of the queue leaves the rest to claims and launches (%s)', async kind => {
    const store = await open()
    const schema = database.lastSchema()
    await fillQueue(schema, 2010, kind === 'due' ? '1' : 'NULL')
    const client = await pool.connect()
    await client.query('BEGIN')
    await client.query(`SELECT 1 FROM ${schema}.operations ORDER BY id LIMIT 2000 FOR UPDATE`)
    const from = { types: [{ type: 'orders', limit: 6 }], limit: 6 }
    const claims = await store.claim({ holder: 'h', leaseMs: 1000, execution: null, from })
    expect(claims.map(({ operation }) => operation.id)).toEqual([0, 1, 2, 3, 4, 5].map(at => numberedId(2001 + at)))
    expect(await store.reserveForLaunch({ types: ['orders'], limit: 10, holdMs: 1000 })).toHaveLength(4)
    expect(await store.claim({ holder: 'h', leaseMs: 1000, execution: null, from })).toEqual([])
    await client.query('ROLLBACK')
    client.release()
    expect(await store.claim({ holder: 'h', leaseMs: 1000, execution: null, from })).toHaveLength(6)
  })
})

it('two processes that accept the same keys in opposite orders never deadlock', async () => {
  const schema = database.nextSchema()
  // Found before the wait for a lock is given up.
  const config = { connectionString: database.url, options: '-c deadlock_timeout=50ms' }
  const pools = [new Pool(config), new Pool(config)]
  const both: Store[] = []
  for (const own of pools) both.push(await open({ schema, notifications: false }, own))
  const before = await deadlocks()
  for (let round = 0; round < atLength(3, 10); round++) {
    const keys = Array.from({ length: 300 }, (_, index) => `${round} ${index}`)
    const accept = (store: Store | undefined, key: string, at: number) =>
      store?.accept(submissionOf(numberedId(at), { idempotencyKey: key }))
    const base = round * 1000
    const answers = await Promise.all([
      ...keys.map((key, index) => accept(both[0], key, base + index)),
      ...keys.toReversed().map((key, index) => accept(both[1], key, base + 500 + index)),
    ])
    expect(new Set(answers.map(answer => answer && acceptedOperation(answer).id)).size).toBe(300)
  }
  for (const store of both) await store.close()
  // A server process reports what it has counted when it ends, at the latest.
  for (const own of pools) await own.end()
  expect(await deadlocks()).toBe(before)
})

async function deadlocks(): Promise<number> {
  const { rows } = await pool.query('SELECT deadlocks::int FROM pg_stat_database WHERE datname = current_database()')
  return rows[0].deadlocks
}

onlyLong(it)('40 workers that claim concurrently for 200 slots each all get work', async () => {
  const store = await open({ timeout: 60_000 }, database.pool({ max: 41 }))
  await fillQueue(database.lastSchema(), 30_000, 'NULL')
  const from = { types: [{ type: 'orders', limit: 200 }], limit: 200 }
  const claims = Array.from({ length: 40 }, (_, index) =>
    store.claim({ holder: `h${index}`, leaseMs: 600_000, execution: null, from }),
  )
  const taken = await Promise.all(claims)
  expect(taken.filter(it => it.length === 0)).toEqual([])
  const ids = taken.flat().map(({ operation }) => operation.id)
  expect(new Set(ids).size).toBe(ids.length)
})

it('a claim that finds only what others take looks once', async () => {
  const counted = database.pool({ max: 1 })
  const store = await open({ notifications: false }, counted)
  const schema = database.lastSchema()
  await fillQueue(schema, 3, 'NULL')
  const other = await pool.connect()
  await other.query('BEGIN')
  await other.query(`SELECT 1 FROM ${schema}.operations FOR UPDATE`)
  const from = { types: [{ type: 'orders', limit: 2 }], limit: 2 }
  expect(await store.claim({ holder: 'h', leaseMs: 1000, execution: null, from })).toEqual([])
  const { rows } = await counted.query('SELECT name FROM pg_prepared_statements')
  expect(rows.map(({ name }) => name.replace(/^.*\//, '')).filter(name => name.startsWith('claim'))).toEqual(['claim'])
  await other.query('ROLLBACK')
  other.release()
  expect(await store.claim({ holder: 'h', leaseMs: 1000, execution: null, from })).toHaveLength(2)
})

/** Ready or delayed operations, whose ids are numbered from 1. */
async function fillQueue(schema: string, count: number, runAt: string): Promise<void> {
  await pool.query(`
    INSERT INTO ${schema}.operations
      (id, type, owner, created_at, updated_at, retention, priority, max_attempts, max_lost, run_at)
    SELECT ('01941f29-7c00-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'orders', '', 1, 1, 1000, 0, 3, 2, ${runAt}
    FROM generate_series(1, ${count}) AS n;
    INSERT INTO ${schema}.payloads (id, kind, body) SELECT id, 0, '1' FROM ${schema}.operations`)
}

/** Makes a schema of an older version, without operations. */
async function versionOf(version: number): Promise<string> {
  const schema = database.nextSchema()
  await pool.query(migrationPlan({ schema }).split('COMMIT;').slice(0, version).join('COMMIT;').concat('COMMIT;'))
  return schema
}

/** As a program of schema version 1 writes an operation whose second execution was started. */
function insertOne(schema: string): string {
  return `
    INSERT INTO ${schema}.operations (id, type, owner, created_at, updated_at, retention, priority, max_attempts, max_lost,
      attempt, lost, launches, execution, history)
    VALUES ('${ID}', 'orders', '', 1, 1, 1000, 0, 3, 2, 1, 1, 1, 'job-2', '[{"number":1,"execution":"job-1"}]');
    INSERT INTO ${schema}.payloads (id, kind, body) VALUES ('${ID}', 0, '1')`
}

/** Makes a schema such as a later version would leave it, readable by a version. */
async function newerSchema(readableBy: number, schema = database.nextSchema()): Promise<string> {
  await open({ schema })
  await pool.query(`
    ALTER TABLE ${schema}.operations ADD COLUMN novelty text NOT NULL DEFAULT 'new';
    CREATE INDEX ON ${schema}.operations (novelty);
    INSERT INTO ${schema}.migrations (version, readable_by) VALUES (${SCHEMA_VERSION + 1}, ${readableBy})`)
  return schema
}

async function describeSchema(schema: string): Promise<unknown> {
  const columns = await pool.query(
    `SELECT table_name, column_name, data_type, column_default, is_nullable, collation_name
    FROM information_schema.columns WHERE table_schema = $1 ORDER BY table_name, ordinal_position`,
    [schema],
  )
  const indexes = await pool.query(
    `SELECT replace(indexdef, $1 || '.', '') AS index FROM pg_indexes WHERE schemaname = $1 ORDER BY 1`,
    [schema],
  )
  return JSON.parse(JSON.stringify([columns.rows, indexes.rows]).replaceAll(schema, 'schema'))
}

describe('limits', () => {
  it.each(['a$1', `a"$1"'`])('hold in a schema whose name has a dollar sign and a number: %s', async name => {
    const store = await open({ schema: `${name}${database.nextSchema()}` })
    const submit = async (number: number) =>
      (await store.accept(submissionOf(numberedId(number), { limits: { inFlight: 1, backlog: 1 } }))).kind
    expect([await submit(1), await submit(2)]).toEqual(['accepted', 'refused'])
  })

  it('are exact when several processes submit at once', async () => {
    const schema = database.nextSchema()
    const stores = [await open({ schema }), await open({ schema }), await open({ schema })]
    const limits = { inFlight: 20, backlog: 30 }
    const answers = await Promise.all(
      Array.from({ length: 30 }, (_, index) => index).flatMap(index =>
        stores.flatMap((store, place) =>
          ['ann', 'bob'].map((owner, half) =>
            store.accept(submissionOf(numberedId(1000 * place + 2 * index + half), { owner, limits })),
          ),
        ),
      ),
    )
    expect(answers.filter(({ kind }) => kind === 'accepted')).toHaveLength(30)
    for (const owner of ['ann', 'bob']) {
      expect(await countUnfinished(stores[0], 'orders', owner)).toBeLessThanOrEqual(20)
    }
  })

  it('wait for another process that has counted and not written yet', async () => {
    const schema = database.nextSchema()
    const [one, other] = [await open({ schema }), await open({ schema })]
    const submission = (number: number) => submissionOf(numberedId(number), { limits: { inFlight: 1 } })
    // A transaction that is undone in the end keeps the first one between its count and its insert.
    const client = await pool.connect()
    await client.query('BEGIN')
    await client.query(`INSERT INTO ${schema}.payloads (id, kind, body) VALUES ($1, 0, '1')`, [numberedId(1)])
    const waiting = async () => {
      const { rows } = await pool.query(
        `SELECT count(*)::int AS count FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
      )
      return rows[0].count as number
    }
    const first = one.accept(submission(1))
    await expect.poll(waiting, { interval: 5 }).toBe(1)
    const second = other.accept(submission(2))
    await Promise.race([second, expect.poll(waiting, { interval: 5 }).toBe(2)]).catch(() => {})
    await client.query('ROLLBACK')
    client.release()
    // On a slow machine one of them may have waited too long, and is told to come back.
    await Promise.allSettled([first, second])
    expect(await one.list({ type: 'orders', owner: '', limit: 10 })).toHaveLength(1)
  })

  it.each(['on', 'off'])('keep inputs and keys unchanged, with standard_conforming_strings %s', async value => {
    const own = database.pool({ options: `-c standard_conforming_strings=${value} -c escape_string_warning=off` })
    const store = await open({}, own)
    const text = `it's \\ "$1" $2 \\' 😀 %`
    const parts = { input: JSON.stringify(text), owner: text, idempotencyKey: text, limits: { inFlight: 1 } }
    expect(await store.accept(submissionOf(ID, parts))).toMatchObject({ kind: 'accepted' })
    expect(await store.readPayload(ID, 'input')).toBe(parts.input)
    expect(await store.findByKey('orders', text, text)).toMatchObject({ id: ID, owner: text })
    const again = submissionOf(numberedId(2), { ...parts, idempotencyKey: null })
    expect(await store.accept(again)).toEqual({ kind: 'refused', limit: 'inFlight' })
  })
})

it('processes that run one operation each do not let the table of durations grow', async () => {
  const schema = database.nextSchema()
  const api = await open({ schema })
  await accepts(api)
  await pool.query(`INSERT INTO ${schema}.durations (type, ms) SELECT 'orders', '{7}' FROM generate_series(1, 150)`)
  const execution = await open({ schema, notifications: false })
  await execution.claim({ holder: 'execution', leaseMs: 30_000, execution: 'one', from: { id: ID } })
  await execution.change(ID, { kind: 'finish', attempt: 1, outcome: { kind: 'completed', output: '1' } })
  await execution.close()
  const { rows } = await pool.query(`SELECT count(*)::int AS count FROM ${schema}.durations`)
  expect(rows).toEqual([{ count: 100 }])
  expect((await api.queueStats('orders')).durations).toHaveLength(100)
})

it('transactions of several statements hold no locks for long where their process is frozen', async () => {
  const limits = new Set<string>()
  const own = database.pool()
  const noting = async (client: PoolClient, query: QueryArrayConfig) => {
    const { rows } = await client.query<{ limit: string }>(
      `SELECT current_setting('idle_in_transaction_session_timeout') AS limit`,
    )
    limits.add(`${rows[0]?.limit} before ${query.text.trim().split(' ', 1)[0]}`)
  }
  const watched: PostgresPool = Object.assign(Object.create(own), {
    connect: async () => {
      const client = await own.connect()
      const send = client.query.bind(client) as (query: QueryArrayConfig) => Promise<never>
      let isOpen = false
      const query = async (asked: QueryArrayConfig) => {
        if (isOpen) await noting(client, asked)
        isOpen = asked.text.startsWith('BEGIN') || (isOpen && !/^(COMMIT|ROLLBACK)$/.test(asked.text))
        return await send(asked)
      }
      return new Proxy(client, { get: (it, name) => (name === 'query' ? query : bound(it, name)) })
    },
  })
  const store = await open({ notifications: false }, watched)
  await store.accept({ ...submissionOf(ID), steps: [['charge', '7']] })
  await store.restore(await store.dump(undefined, 10))
  expect([...limits].filter(limit => !limit.startsWith('15s'))).toEqual([])
  expect(limits.size).toBeGreaterThan(3)
})

function bound(client: PoolClient, name: string | symbol): unknown {
  const member: unknown = Reflect.get(client, name)
  return typeof member === 'function' ? member.bind(client) : member
}

it('a copy leaves out errors of attempts whose numbers are too large, and writes the rest', async () => {
  const store = await open()
  await accepts(store)
  const [dump] = await store.dump(undefined, 1)
  if (dump === undefined) throw new Error('There is no operation.')
  const errors = [1, 40_000].map(attempt => ({ attempt, error: { name: 'Error', message: 'no' } }))
  await store.restore([{ ...dump, errors }])
  expect(await store.errors(ID)).toEqual(errors.slice(0, 1))
})
