import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, vi } from 'vitest'
import { handler } from 'waybill'
import { runOperation } from 'waybill/job'
import { sqliteStore } from 'waybill/stores/sqlite'
import { NoTokenError } from '../../src/from-url/azure-credential.ts'
import type { Store } from '../../src/stores/store.ts'
import { type Act, play, plays } from '../support/handlers.ts'
import { onlyLong } from '../support/length.ts'
import {
  hasStatus,
  KeptLog,
  logOf,
  recordOf,
  resultOf,
  SILENT,
  submit,
  type TestContext,
  test,
  until,
} from '../support/waybill.ts'

const type = plays({ attempts: 2 })

interface Submitted {
  readonly path: string
  readonly store: Store
  readonly id: string
}

async function submitted(lab: TestContext, ...acts: Act[]): Promise<Submitted> {
  const path = lab.file()
  const store = await lab.store(path)
  return { path, store, id: await submit(lab.composition([type], { store }), type, play(...acts)) }
}

/** Starts the job entry file. */
function startJob(lab: TestContext, path: string, env: Record<string, string | undefined>): ChildProcess {
  const entry = fileURLToPath(new URL('../fixtures/job.ts', import.meta.url))
  const child = spawn(process.execPath, [entry], {
    env: { ...process.env, NODE_NO_WARNINGS: '1', TEST_STORE: path, ...env },
    stdio: ['ignore', 'inherit', 'pipe'],
  })
  lab.onEnd(() => child.kill('SIGKILL'))
  return child
}

async function exitOf(child: ChildProcess): Promise<{ code: number | null; stderr: string }> {
  let stderr = ''
  child.stderr?.on('data', data => {
    stderr += String(data)
  })
  const code = await new Promise<number | null>(resolve => child.once('close', resolve))
  return { code, stderr }
}

describe('an execution', () => {
  test('runs the operation that its environment names, and exits with 0', async ({ lab }) => {
    const { path, store, id } = await submitted(lab, { do: 'return', value: 42 })
    const job = startJob(lab, path, {
      WAYBILL_OPERATION_ID: id,
      WAYBILL_EXECUTION: 'exec-{pid}-x',
      WAYBILL_ENGINE: 'jobs',
    })
    expect((await exitOf(job)).code).toBe(0)
    expect(await resultOf(store, id)).toBe(42)
    const { history } = await recordOf(store, id)
    expect(history).toMatchObject([{ number: 1, outcome: 'completed', execution: `exec-${job.pid}-x`, engine: 'jobs' }])
  })

  test.for([
    [{ WAYBILL_EXECUTION: 'own', WAYBILL_ENGINE: 'jobs' }, 'own', 'jobs'],
    [{ WAYBILL_EXECUTION: 'own', CONTAINER_APP_JOB_EXECUTION_NAME: 'job-1' }, 'own', null],
    [{ CONTAINER_APP_JOB_EXECUTION_NAME: 'job-1' }, 'job-1', 'container-apps'],
    [{ CONTAINER_APP_JOB_EXECUTION_NAME: 'job-1', WAYBILL_ENGINE: 'container-apps-eu' }, 'job-1', 'container-apps-eu'],
    // Which is not for Kubernetes alone to set.
    [{ JOB_NAME: 'job-1', WAYBILL_ENGINE: '' }, 'job-1', null],
    [{ WAYBILL_ENGINE: 'jobs' }, null, null],
  ] as const)('with the environment %j records itself as %s of %s', async ([env, execution, engine], { lab }) => {
    const { path, store, id } = await submitted(lab, { do: 'return' })
    for (const [name, value] of Object.entries({ WAYBILL_OPERATION_ID: id, ...env })) vi.stubEnv(name, value)
    const handlers = handler(type, () => 'done')
    expect(await runOperation({ operations: [type], handlers, logger: SILENT, store: sqliteStore({ path }) })).toBe(0)
    expect((await recordOf(store, id)).history).toMatchObject([{ execution, engine }])
  })

  test('stays alive while it waits to record an outcome again', async ({ lab }) => {
    const { path, store, id } = await submitted(lab, { do: 'return', value: 42 })
    const job = startJob(lab, path, { WAYBILL_OPERATION_ID: id, TEST_FAULT: 'outcome' })
    expect((await exitOf(job)).code).toBe(0)
    expect(await resultOf(store, id)).toBe(42)
  })

  test('ends with 1 if its claim fails, and so do the processes of its handlers', async ({ lab }) => {
    const { path, store, id } = await submitted(lab, { do: 'return' })
    const env = { WAYBILL_OPERATION_ID: id, TEST_FAULT: 'claim', TEST_WORKER: '{"run":"children"}' }
    const { code, stderr } = await exitOf(startJob(lab, path, env))
    expect(code).toBe(1)
    expect(stderr).toContain('The execution ended without an outcome: It is away.')
    expect(await recordOf(store, id)).toMatchObject({ status: 'pending', attempt: 0 })
  })

  onlyLong(test)('exits with 0 if the handler failed, since that is an outcome', async ({ lab }) => {
    const { path, store, id } = await submitted(lab, { do: 'throw', message: 'no' })
    expect((await exitOf(startJob(lab, path, { WAYBILL_OPERATION_ID: id }))).code).toBe(0)
    expect(await recordOf(store, id)).toMatchObject({ status: 'pending', attempt: 1 })
  })

  test('hands the attempt back at SIGTERM, and exits with 0', async ({ lab }) => {
    const { path, store, id } = await submitted(lab, { do: 'wait' }, { do: 'return', value: 'later' })
    const job = startJob(lab, path, { WAYBILL_OPERATION_ID: id })
    const exit = exitOf(job)
    await until(async () => (await logOf(store, id)).length > 0)
    job.kill('SIGTERM')
    expect((await exit).code).toBe(0)
    expect(await recordOf(store, id)).toMatchObject({ status: 'pending', attempt: 1, released: 1, execution: null })
    expect(await logOf(store, id)).toContain('ShutdownError')
  })

  onlyLong(test)('may finish after SIGTERM within the shutdown time', async ({ lab }) => {
    const { path, store, id } = await submitted(lab, { do: 'linger', ms: 200 })
    const job = startJob(lab, path, { WAYBILL_OPERATION_ID: id, TEST_WORKER: '{"gracePeriod": 10}' })
    const exit = exitOf(job)
    await until(async () => (await logOf(store, id)).length > 0)
    job.kill('SIGTERM')
    expect((await exit).code).toBe(0)
    expect(await resultOf(store, id)).toBe('lingered')
  })

  test('fails with a clear message if no operation is named', async ({ lab }) => {
    const { code, stderr } = await exitOf(startJob(lab, lab.file(), { WAYBILL_OPERATION_ID: '' }))
    expect(code).toBe(1)
    const lines = stderr.trim().split('\n')
    expect(lines).toHaveLength(1)
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({
      level: 'error',
      message: expect.stringContaining('No operation is named: set WAYBILL_OPERATION_ID'),
    })
  })

  test('says in one line of JSON why it could not open its store', async ({ lab }) => {
    const { code, stderr } = await exitOf(startJob(lab, '/dev/null/orders.db', { WAYBILL_OPERATION_ID: 'an-id' }))
    expect(code).toBe(1)
    const lines = stderr.trim().split('\n')
    expect(lines).toHaveLength(1)
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({
      level: 'error',
      operation: 'an-id',
      message: expect.stringMatching(/^The execution ended without an outcome: .*\/dev\/null/),
    })
  })
})

describe('runOperation', () => {
  const handlers = handler(type, () => 'done')

  test('claims nothing and returns 0 for an unknown, running or finished operation', async ({ lab }) => {
    const { path, store, id } = await submitted(lab, { do: 'return' })
    const base = { operations: [type], handlers, logger: SILENT }
    const run = (operationId: string) => runOperation({ ...base, store: sqliteStore({ path }), operationId })
    expect(await run('00000000-0000-7000-8000-000000000000')).toBe(0)
    await store.claim({ holder: 'another/1/x', leaseMs: 60_000, execution: null, from: { id } })
    expect(await run(id)).toBe(0)
    expect(await recordOf(store, id)).toMatchObject({ status: 'running', attempt: 1, holder: 'another/1/x' })
    await store.change(id, { kind: 'finish', attempt: 1, outcome: { kind: 'completed', output: '1' } })
    expect(await run(id)).toBe(0)
    expect(await recordOf(store, id)).toMatchObject({ status: 'completed', attempt: 1 })
  })

  test('fails an operation without a handler', async ({ lab }) => {
    const { path, store, id } = await submitted(lab, { do: 'return' })
    const other = handler({ ...type, name: 'others' }, () => 'done')
    const options = { operations: [type], handlers: other, logger: SILENT, operationId: id }
    expect(await runOperation({ ...options, store: sqliteStore({ path }) })).toBe(0)
    const { status, error } = await recordOf(store, id)
    expect({ status, code: error?.code }).toEqual({ status: 'failed', code: 'no-handler' })
    expect(error?.detail).toContain('"plays"')
  })

  test('prefers the execution and the engine of its options to those of the environment', async ({ lab }) => {
    const { path, store, id } = await submitted(lab, { do: 'return' })
    const execution = { execution: 'orders-job-1a2b3c', engine: 'jobs' }
    const options = { operations: [type], handlers, logger: SILENT, operationId: id, ...execution }
    await runOperation({ ...options, store: sqliteStore({ path }) })
    expect((await hasStatus(store, id, 'completed')).history).toMatchObject([execution])
  })

  test('returns 1 and logs an error if the outcome could not be recorded within the lease', async ({ lab }) => {
    const { path, id } = await submitted(lab, { do: 'return' })
    const store = sqliteStore({ path })
    const failing = new Proxy(store, {
      get: (target, name: keyof Store) => {
        if (name === 'change' || name === 'renew') return () => Promise.reject(new Error('The store is away.'))
        const method = target[name] as ((...given: unknown[]) => unknown) | undefined
        return method?.bind(target)
      },
    })
    const logger = new KeptLog()
    const options = { operations: [type], handlers, logger, operationId: id, leaseDuration: 3000 }
    expect(await runOperation({ ...options, store: failing })).toBe(1)
    expect(logger.lines.at(-1)).toMatchObject({
      level: 'error',
      message: expect.stringContaining('could not be recorded'),
    })
  })

  /** A store that cannot be opened at first, or never. */
  function reluctant(path: string, error: Error, times: number): Store {
    const store = sqliteStore({ path })
    let left = times
    const open = async () => (left-- > 0 ? Promise.reject(error) : store.open())
    return Object.assign(Object.create(store) as Store, { open, ...bound(store) })
  }

  /** The methods of a store that a job calls, which cannot be called on another object. */
  function bound(store: Store) {
    const names = [
      'claim',
      'renew',
      'change',
      'appendNote',
      'steps',
      'logs',
      'readPayload',
      'read',
      'watch',
      'close',
    ] as const
    return Object.fromEntries(names.map(name => [name, (store[name] as () => unknown).bind(store)]))
  }

  test.for([
    Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' }),
    Object.assign(new Error('sorry, too many clients already'), { code: '53300', severity: 'FATAL' }),
    new Error('PostgreSQL did not answer within 10000 ms.'),
    new Error('It cannot be reached.', {
      cause: new AggregateError([Object.assign(new Error(), { code: 'ETIMEDOUT' })]),
    }),
    new NoTokenError('The credential gave no token for Cosmos DB.'),
  ])('waits for a store that is not ready: %s', async (error, { lab }) => {
    const { path, store, id } = await submitted(lab, { do: 'return' })
    const logger = new KeptLog()
    const options = { operations: [type], handlers, logger, operationId: id }
    expect(await runOperation({ ...options, store: reluctant(path, error, 2) })).toBe(0)
    expect(await hasStatus(store, id, 'completed')).toMatchObject({ attempt: 1 })
    expect(logger.lines.filter(({ level }) => level === 'warn')).toHaveLength(2)
  })

  test('waits at most its startup timeout, and not after permanent errors', async ({ lab }) => {
    const { path, id } = await submitted(lab, { do: 'return' })
    const logger = new KeptLog()
    const options = { operations: [type], handlers, logger, operationId: id }
    const away = new NoTokenError('The credential gave no token for Cosmos DB: It is away.')
    expect(await runOperation({ ...options, startupTimeout: 0, store: reluctant(path, away, 1) })).toBe(1)
    const wrong = new Error('The container has another partition key.')
    expect(await runOperation({ ...options, store: reluctant(path, wrong, 1) })).toBe(1)
    expect(logger.lines.map(({ level, message }) => `${level}: ${message}`)).toEqual([
      `error: The execution ended without an outcome: ${away.message}`,
      `error: The execution ended without an outcome: ${wrong.message}`,
    ])
  })
})
