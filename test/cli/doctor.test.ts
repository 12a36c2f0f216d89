import { writeFileSync } from 'node:fs'
import { describe, expect } from 'vitest'
import { emulateKubernetes } from 'waybill/emulators/kubernetes'
import { postgresStore } from 'waybill/stores/postgres'
import { examinePermissions } from '../../src/cli/doctor/azure.ts'
import { type Finding, Findings } from '../../src/cli/doctor/finding.ts'
import { examineFileSystem } from '../../src/cli/doctor/sqlite.ts'
import { azureOf } from '../support/azure.ts'
import { waybill, waybillProcess } from '../support/cli.ts'
import { onlyLong } from '../support/length.ts'
import { testDatabase } from '../support/postgres.ts'
import { TransactionPooler } from '../support/transaction-pooler.ts'
import { type TestContext, test } from '../support/waybill.ts'

async function examine(url: string): Promise<{ code: number | null; findings: Finding[] }> {
  const { code, out } = await waybill(['doctor', '--store', url, '--json'])
  return { code, findings: JSON.parse(out) }
}

const of = (findings: readonly Finding[], name: string) => findings.filter(it => it.name === name)
const bad = (findings: readonly Finding[]) => findings.filter(({ grade }) => grade !== 'ok').map(({ name }) => name)

describe('SQLite', () => {
  test('a healthy file', async ({ lab }) => {
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

  test('a missing file', async ({ lab }) => {
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

  test('a healthy database', async () => {
    const { findings } = await examine(`${database.url}?schema=${await schema()}`)
    // The tests' own server does not sync.
    expect(bad(findings).filter(name => name !== 'durability')).toEqual([])
    const names = ['server', 'clock', 'autovacuum', 'schema', 'indexes', 'tables', 'transactions', 'connections']
    expect(findings.map(({ name }) => name)).toEqual(expect.arrayContaining([...names, 'notifications']))
  })

  test('a missing schema', async () => {
    const { code, findings } = await examine(`${database.url}?schema=${database.nextSchema()}`)
    expect(code).toBe(1)
    expect(bad(findings)).toEqual(expect.arrayContaining(['store', 'schema']))
  })

  test('an invalid index, and commits that are not durable', async () => {
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

  test('an unreachable server', async () => {
    const { code, findings } = await examine('postgres://u@127.0.0.1:1/x')
    expect(code).toBe(1)
    expect(of(findings, 'store')[0]?.says).toContain('ECONNREFUSED')
  })
})

describe('Azure', () => {
  test('an identity that may start the job', async ({ lab }) => {
    const azure = await azureOf(lab, '')
    const { code, out } = await waybillProcess(['doctor', 'azure', '--json'], azure.environment)
    const findings = JSON.parse(out) as Finding[]
    expect(of(findings, 'identity')[0]?.says).toMatch(/^gets a token/)
    expect(of(findings, 'job')[0]).toMatchObject({ grade: 'ok', says: expect.stringMatching(/^is there: /) })
    expect(of(findings, 'executions')).toEqual([{ grade: 'ok', name: 'executions', says: 'can be listed' }])
    expect({ code, fails: findings.filter(({ grade }) => grade === 'fail') }).toEqual({ code: 0, fails: [] })
    expect(azure.executions).toEqual([])
  })

  onlyLong(() => {
    test('a job that is not there, and one that the identity may not read', async ({ lab }) => {
      const azure = await azureOf(lab, '')
      const missing = await waybillProcess(['doctor', 'azure', '--job', 'no-such-job'], azure.environment)
      expect(missing.code).toBe(1)
      expect(missing.out).toMatch(/^FAIL {2}job .*404 ResourceNotFound .*Check its name/m)
      azure.fail(() => ({ answer: { status: 403, code: 'AuthorizationFailed' } }))
      const refused = await waybillProcess(['doctor', 'azure'], azure.environment)
      expect(refused.out).toMatch(/^FAIL {2}job .*403 AuthorizationFailed .*"Container Apps Jobs Operator"/m)
    })
  })()

  test.for([
    [[{ actions: ['Microsoft.App/jobs/*'] }], 'ok', 'allow to read and start'],
    [
      [{ actions: ['*'], notActions: ['Microsoft.App/jobs/start/*'] }],
      'fail',
      'do not allow Microsoft.App/jobs/start/action.',
    ],
    [[{ actions: ['*/read'] }, { actions: ['Microsoft.App/jobs/*/action'] }], 'ok', 'allow'],
    [[], 'fail', 'do not allow Microsoft.App/jobs/read, '],
  ] as const)('permissions %j', ([value, grade, says]) => {
    const findings = new Findings()
    examinePermissions({ value }, findings)
    expect(findings.all).toEqual([{ grade, name: 'permissions', says: expect.stringContaining(says) }])
  })

  test('missing options', async () => {
    const { code, err } = await waybill(['doctor', 'azure'], { AZURE_SUBSCRIPTION_ID: undefined })
    expect([code, err]).toEqual([
      2,
      expect.stringContaining('--subscription is missing: give it, or set AZURE_SUBSCRIPTION_ID.'),
    ])
    expect(await waybill(['doctor', 'aws'])).toMatchObject({ code: 2 })
  })
})

describe('Kubernetes', () => {
  async function examineWith(lab: TestContext, verbs: readonly string[], quota = 10) {
    const cluster = await emulateKubernetes({ images: { orders: { entrypoint: ['node', '-e', ''] } }, quota })
    lab.onEnd(() => cluster.close())
    const file = lab.file()
    writeFileSync(file, cluster.kubeconfig(cluster.token(verbs)))
    const { code, out } = await waybill(['doctor', 'kubernetes', '--json'], { KUBECONFIG: file })
    return { code, findings: JSON.parse(out) as Finding[], cluster }
  }

  test('a user who may create Jobs, of which none is created', async ({ lab }) => {
    const { code, findings, cluster } = await examineWith(lab, ['create', 'get', 'list', 'watch', 'delete'])
    expect({ code, bad: bad(findings) }).toEqual({ code: 0, bad: [] })
    expect(cluster.jobs()).toEqual([])
  })

  test('a user who may only read, and an exhausted quota', async ({ lab }) => {
    const { code, findings } = await examineWith(lab, ['get', 'list'])
    expect({ code, bad: bad(findings) }).toEqual({ code: 1, bad: ['create jobs', 'delete jobs'] })
    expect(of(findings, 'create jobs')[0]?.says).toMatch(/forbidden.*allow create, get, list, watch and delete/)
    const full = await examineWith(lab, ['create', 'get', 'list', 'watch', 'delete'], 0)
    expect(of(full.findings, 'create jobs')[0]?.says).toContain('exceeded quota')
  })
})
