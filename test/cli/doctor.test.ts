import { describe, expect } from 'vitest'
import { postgresStore } from 'waybill/stores/postgres'
import { type Finding, Findings } from '../../src/cli/doctor/finding.ts'
import { examineFileSystem } from '../../src/cli/doctor/sqlite.ts'
import { waybill } from '../support/cli.ts'
import { testDatabase } from '../support/postgres.ts'
import { TransactionPooler } from '../support/transaction-pooler.ts'
import { test } from '../support/waybill.ts'

async function examine(url: string): Promise<{ code: number | null; findings: Finding[] }> {
  const { code, out } = await waybill(['doctor', '--store', url, '--json'])
  return { code, findings: JSON.parse(out) }
}

const of = (findings: readonly Finding[], name: string) => findings.filter(it => it.name === name)
const bad = (findings: readonly Finding[]) => findings.filter(({ grade }) => grade !== 'ok').map(({ name }) => name)

describe('SQLite', () => {
  test('a file that is well', async ({ lab }) => {
    const path = lab.file()
    await lab.store(path)
    const { code, findings } = await examine(`sqlite:${path}`)
    // The folder of the tests may be small.
    expect(bad(findings).filter(name => name !== 'disk')).toEqual([])
    expect(code).toBe(of(findings, 'disk')[0]?.grade === 'fail' ? 1 : 0)
    const { out } = await waybill(['doctor', '--store', `sqlite:${path}`])
    expect(out).toMatch(/^ok .* store .*opens, and takes writes\.$/m)
    expect(out).toMatch(/^ok .* journal .*WAL, of 0 MiB\.$/m)
  })

  test('a file that is not there', async ({ lab }) => {
    const { code, findings } = await examine(`sqlite:${lab.file()}`)
    expect(code).toBe(1)
    expect(of(findings, 'store')).toEqual([
      { grade: 'fail', name: 'store', says: expect.stringContaining('There is no SQLite file') },
    ])
  })

  test.for([
    [0x6969, 'fail', 'NFS, a network share'],
    [0xfe534d42, 'fail', 'SMB 2, a network share'],
    [0x65735546, 'warn', 'FUSE'],
    [0xef53, 'ok', 'not a network share'],
  ] as const)('a file system of the type %i', ([type, grade, says]) => {
    const findings = new Findings()
    examineFileSystem(type, findings)
    expect(findings.all).toEqual([{ grade, name: 'file system', says: expect.stringContaining(says) }])
  })
})

describe('PostgreSQL', () => {
  const database = testDatabase(18)

  async function schema(): Promise<string> {
    const name = database.nextSchema()
    const store = postgresStore(database.pool(), { schema: name })
    await store.open()
    await store.close()
    return name
  }

  test('a database that is well', async () => {
    const { findings } = await examine(`${database.url}?schema=${await schema()}`)
    // The tests' own server does not sync.
    expect(bad(findings).filter(name => name !== 'durability')).toEqual([])
    const names = ['server', 'clock', 'autovacuum', 'schema', 'indexes', 'tables', 'transactions', 'connections']
    expect(findings.map(({ name }) => name)).toEqual(expect.arrayContaining([...names, 'notifications']))
  })

  test('a schema that is not there', async () => {
    const { code, findings } = await examine(`${database.url}?schema=${database.nextSchema()}`)
    expect(code).toBe(1)
    expect(bad(findings)).toEqual(expect.arrayContaining(['store', 'schema']))
  })

  test('an index that is not valid, and commits that are not durable', async () => {
    const name = await schema()
    await database
      .pool()
      .query(`UPDATE pg_index SET indisvalid = false WHERE indexrelid = '${name}.operations_purge'::regclass`)
    const options = encodeURIComponent('-c synchronous_commit=off')
    const { code, findings } = await examine(`${database.url}?schema=${name}&options=${options}`)
    expect(code).toBe(1)
    expect(of(findings, 'indexes')[0]?.says).toMatch(/^not valid: operations_purge \(0 MiB\)\./)
    expect(of(findings, 'durability').at(-1)?.says).toMatch(/^synchronous_commit is off/)
  })

  test('a pooler in transaction mode', async () => {
    const name = await schema()
    const pooler = await TransactionPooler.start(database.url, 4)
    try {
      const { findings } = await examine(`${pooler.url}?schema=${name}`)
      expect(of(findings, 'notifications')).toEqual([
        { grade: 'warn', name: 'notifications', says: expect.stringContaining('do not arrive') },
      ])
    } finally {
      await pooler.stop()
    }
  })

  test('a server that does not answer', async () => {
    const { code, findings } = await examine('postgres://u@127.0.0.1:1/x')
    expect(code).toBe(1)
    expect(of(findings, 'store')[0]?.says).toContain('ECONNREFUSED')
  })
})
