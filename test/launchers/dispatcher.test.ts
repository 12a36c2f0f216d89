import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect } from 'vitest'
import { processLauncher } from 'waybill/launchers/process'
import { sqliteStore } from 'waybill/stores/sqlite'
import { manualClock } from 'waybill/testing'
import { type Launcher, LaunchRefused, type LaunchRequest } from '../../src/launchers/launcher.ts'
import type { ProcessLauncherOptions } from '../../src/launchers/process/process.ts'
import type { AnyOperationType } from '../../src/model/operation-type.ts'
import type { DispatcherOptions, Waybill } from '../../src/waybill.ts'
import { play, plays } from '../support/handlers.ts'
import { onlyLong } from '../support/length.ts'
import {
  faultyStore,
  hasFinished,
  hasStatus,
  logOf,
  recordOf,
  resultOf,
  submit,
  type TestContext,
  test,
  until,
  when,
} from '../support/waybill.ts'

const HOUR = 3_600_000
const type = plays({ attempts: 2 })
const entry = new URL('../fixtures/job.ts', import.meta.url)

/** The process launcher of the job entry file, on the store of the path. */
function launcherOn(path: string, options: Partial<ProcessLauncherOptions> = {}): Launcher {
  return processLauncher({ entry, niceness: 0, maxProcesses: 4, env: { TEST_STORE: path }, ...options })
}

/** A composition whose work is done by what the launcher starts. */
async function dispatching(
  lab: TestContext,
  path: string,
  dispatcher: DispatcherOptions,
  types: readonly AnyOperationType[] = [type],
  { now: clock } = { now: Date.now },
): Promise<Waybill> {
  const store = sqliteStore({ path, synchronous: 'NORMAL', clock })
  // Nothing is swept: what is noticed, the dispatcher has noticed.
  return await lab.waybill(types, {
    store,
    sweepInterval: '1h',
    dispatcher: { pollInterval: 50, reconcileInterval: '1h', ...dispatcher },
  })
}

/** A launcher made of what a test gives; what is not given answers that all is well. */
function launcherOf(given: Partial<Launcher> & Pick<Launcher, 'start'>): Launcher {
  return { engine: 'process', stop: async () => {}, inspect: async () => ({ kind: 'alive' }), ...given }
}

/** Starts the job entry file as an engine would, and gives its exit code. */
function execute(
  lab: TestContext,
  path: string,
  { operationId }: LaunchRequest,
): { child: ChildProcess; code: Promise<unknown> } {
  const env = { ...process.env, TEST_STORE: path, WAYBILL_OPERATION_ID: operationId }
  const child = spawn(process.execPath, [fileURLToPath(entry)], { env, stdio: 'inherit' })
  lab.onEnd(() => child.kill('SIGKILL'))
  return { child, code: new Promise(resolve => child.once('exit', resolve)) }
}

describe('with the process launcher', () => {
  test('one execution is started for each operation, and the history has its name', async ({ lab }) => {
    const path = lab.file()
    const started: string[] = []
    const launcher = launcherOn(path)
    const noting: Launcher = launcherOf({
      start: async request => {
        const execution = await launcher.start(request)
        started.push(`${request.operationId} ${execution}`)
        return execution
      },
      inspect: execution => launcher.inspect(execution),
    })
    const waybill = await dispatching(lab, path, { launcher: noting })
    const ids = [await submit(waybill, type, play({ do: 'pid' })), await submit(waybill, type, play({ do: 'pid' }))]
    for (const id of ids) {
      const pid = await resultOf(waybill.store, id)
      const { history, attempt, lost } = await recordOf(waybill.store, id)
      expect({ attempt, lost }).toEqual({ attempt: 1, lost: 0 })
      expect(history[0]?.execution).toMatch(new RegExp(`^process-${pid}-`))
      expect(started).toContain(`${id} ${history[0]?.execution}`)
    }
    expect(started).toHaveLength(2)
  })

  test('operations beyond the limit stay unchanged, and run in their turn', async ({ lab }) => {
    const path = lab.file()
    const waybill = await dispatching(lab, path, { launcher: launcherOn(path, { maxProcesses: 1 }) })
    const first = await submit(waybill, type, play({ do: 'wait' }))
    await until(async () => (await logOf(waybill.store, first)).length > 0)
    const rest = await Promise.all([1, 2].map(value => submit(waybill, type, play({ do: 'return', value }))))
    await until(async () => (await recordOf(waybill.store, rest[0] ?? '')).runAt !== null)
    for (const id of rest) {
      const { status, attempt, launches, execution } = await recordOf(waybill.store, id)
      expect({ status, attempt, execution }).toEqual({ status: 'pending', attempt: 0, execution: null })
      expect(launches).toBeLessThanOrEqual(1)
    }
    await waybill.operations.cancel(first, '')
    expect(await Promise.all(rest.map(id => resultOf(waybill.store, id)))).toEqual([1, 2])
  })

  test('an execution that dies is noticed by its end and not by its lease', async ({ lab }) => {
    const path = lab.file()
    const launcher = launcherOn(path, { env: { TEST_STORE: path, TEST_WORKER: '{"leaseDuration": "1h"}' } })
    const waybill = await dispatching(lab, path, { launcher })
    const id = await submit(waybill, type, play({ do: 'exit', code: 9 }, { do: 'return', value: 'again' }))
    expect(await resultOf(waybill.store, id)).toBe('again')
    const { history, lost } = await recordOf(waybill.store, id)
    expect(lost).toBe(1)
    expect(history[0]).toMatchObject({ number: 1, outcome: 'lost', error: { code: 'worker-lost' } })
    expect(history[0]?.error?.detail).toContain('exit code 9')
  })

  onlyLong(() => {
    test('an execution that dies is noticed by an inspection if the engine reports nothing', async ({ lab }) => {
      const path = lab.file()
      const launcher = launcherOn(path, { env: { TEST_STORE: path, TEST_WORKER: '{"leaseDuration": "1h"}' } })
      const silent = launcherOf({
        start: request => launcher.start(request),
        inspect: execution => launcher.inspect(execution),
      })
      const waybill = await dispatching(lab, path, { launcher: silent, reconcileInterval: 50 })
      const id = await submit(waybill, type, play({ do: 'die', signal: 'SIGKILL' }, { do: 'return', value: 'again' }))
      expect(await resultOf(waybill.store, id)).toBe('again')
      expect((await recordOf(waybill.store, id)).lost).toBe(1)
    })
  })()

  test('a cancel stops the execution', async ({ lab }) => {
    const path = lab.file()
    const stops: string[] = []
    const launcher = launcherOn(path)
    const noting = launcherOf({
      start: request => launcher.start(request),
      inspect: execution => launcher.inspect(execution),
      stop: execution => {
        stops.push(execution)
        return launcher.stop(execution)
      },
    })
    const waybill = await dispatching(lab, path, { launcher: noting })
    const id = await submit(waybill, type, play({ do: 'linger', ms: 50 }))
    await until(async () => (await logOf(waybill.store, id)).length > 0)
    const { execution } = await recordOf(waybill.store, id)
    await waybill.operations.cancel(id, '')
    await until(() => stops.length > 0)
    await hasFinished(waybill.store, id)
    expect(stops).toEqual([execution])
  })

  onlyLong(() => {
    test('executions that never claim fail the operation after the limit of launches', async ({ lab }) => {
      const path = lab.file()
      const idle = join(dirname(path), 'idle.mjs')
      writeFileSync(idle, '')
      const stubborn = plays({ lostAttempts: 1 })
      const waybill = await dispatching(lab, path, { launcher: launcherOn(path, { entry: idle }) }, [stubborn])
      const id = await submit(waybill, stubborn)
      const { status, error, attempt, launches } = await hasFinished(waybill.store, id)
      expect({ status, code: error?.code, attempt, launches }).toEqual({
        status: 'failed',
        code: 'launch-lost',
        attempt: 0,
        launches: 2,
      })
    })
  })()
})

describe('between a start and its end', () => {
  test('reads no record for a change that is not a cancel', async ({ lab }) => {
    const { store, calls } = faultyStore(sqliteStore({ path: ':memory:' }))
    const stopped = Promise.withResolvers<string>()
    const launcher = launcherOf({
      start: async () => 'job-1',
      stop: async execution => stopped.resolve(execution),
    })
    const dispatcher = { launcher, pollInterval: '1h', reconcileInterval: '1h' } as const
    const waybill = await lab.waybill([type], { store, sweepInterval: '1h', dispatcher })
    const id = await submit(waybill, type, play({ do: 'wait' }))
    await when(store, id, operation => operation.execution !== null)
    await store.claim({ from: { id }, holder: 'job-1', leaseMs: 60_000, execution: 'job-1', engine: 'process' })
    calls.clear()
    for (let count = 1; count <= 20; count++) {
      await store.change(id, { kind: 'progress', attempt: 1, progress: { fraction: count / 20 } })
    }
    await store.appendNote({ id, attempt: 1 }, { kind: 'log', level: 'info', message: 'one' })
    expect(calls.get('read') ?? 0).toBe(0)
    await store.change(id, { kind: 'cancel' })
    expect(await stopped.promise).toBe('job-1')
    expect(calls.get('read')).toBe(1)
  })
})

describe('with an engine that', () => {
  onlyLong(() => {
    test('refuses for a while, the start is retried later and is not counted', async ({ lab }) => {
      const path = lab.file()
      let refusals = 0
      const launcher = launcherOf({
        start: async request => {
          if (++refusals <= 5) throw new LaunchRefused('Too many requests.', 20)
          execute(lab, path, request)
          return undefined
        },
      })
      const patient = plays({ lostAttempts: 0 })
      const waybill = await dispatching(lab, path, { launcher }, [patient])
      const id = await submit(waybill, patient, play({ do: 'return', value: 'at last' }))
      expect(await resultOf(waybill.store, id)).toBe('at last')
      expect(await recordOf(waybill.store, id)).toMatchObject({ attempt: 1, lost: 0, launches: 0 })
    })
  })()

  test('fails after it has started the execution, the operation runs once', async ({ lab }) => {
    const path = lab.file()
    let starts = 0
    const launcher = launcherOf({
      start: async request => {
        starts++
        execute(lab, path, request)
        throw new Error('The connection was reset.')
      },
    })
    const waybill = await dispatching(lab, path, { launcher })
    const id = await submit(waybill, type, play({ do: 'return', value: 'done' }))
    expect(await resultOf(waybill.store, id)).toBe('done')
    expect(await recordOf(waybill.store, id)).toMatchObject({ attempt: 1, lost: 0 })
    expect(starts).toBe(1)
  })

  test('fails without a start, another start follows after the claim timeout', async ({ lab }) => {
    const path = lab.file()
    let starts = 0
    const launcher = launcherOf({
      start: async request => {
        if (++starts === 1) throw new Error('The connection was reset.')
        execute(lab, path, request)
        return 'the-second'
      },
    })
    const clock = manualClock(Date.now())
    const waybill = await dispatching(lab, path, { launcher, claimTimeout: HOUR }, [type], clock)
    const id = await submit(waybill, type, play({ do: 'return', value: 'done' }))
    await until(() => starts === 1)
    clock.advance(HOUR)
    expect(await resultOf(waybill.store, id)).toBe('done')
    expect(starts).toBe(2)
    expect(await recordOf(waybill.store, id)).toMatchObject({ attempt: 1, lost: 0 })
  })

  test('starts everything twice, the second execution claims nothing and exits with 0', async ({ lab }) => {
    const path = lab.file()
    const codes: Promise<unknown>[] = []
    const launcher = launcherOf({
      start: async request => {
        codes.push(execute(lab, path, request).code, execute(lab, path, request).code)
        return undefined
      },
    })
    const waybill = await dispatching(lab, path, { launcher })
    const id = await submit(waybill, type, play({ do: 'return', value: 'once' }))
    expect(await resultOf(waybill.store, id)).toBe('once')
    expect(await Promise.all(codes)).toEqual([0, 0])
    const { history } = await recordOf(waybill.store, id)
    expect(history).toMatchObject([{ number: 1, outcome: 'completed' }])
    expect(await logOf(waybill.store, id)).toHaveLength(1)
  })

  test('never answers a start, the operation does not wait forever', async ({ lab }) => {
    let starts = 0
    const launcher = launcherOf({
      start: async () => {
        starts++
        throw new Error('The connection was reset.')
      },
    })
    const stubborn = plays({ lostAttempts: 1 })
    const clock = manualClock()
    const waybill = await dispatching(lab, lab.file(), { launcher, claimTimeout: HOUR }, [stubborn], clock)
    const id = await submit(waybill, stubborn)
    for (const count of [1, 2]) {
      await until(() => starts === count)
      clock.advance(HOUR)
    }
    const { status, error } = await hasFinished(waybill.store, id)
    expect({ status, code: error?.code, starts }).toEqual({ status: 'failed', code: 'launch-lost', starts: 2 })
    expect(error?.detail).toContain('2 executions were started, and none has claimed it.')
  })

  test('handles one start at a time, no type starves behind the backlog of another', async ({ lab }) => {
    const started: string[] = []
    const launcher = launcherOf({
      start: async ({ type: name }) => {
        started.push(name)
        return `${name}-${started.length}`
      },
    })
    const types = [plays(), { ...plays(), name: 'others' }] as const
    const path = lab.file()
    const store = await lab.store(path)
    const api = lab.composition(types, { store })
    for (let n = 0; n < 20; n++) await submit(api, types[0])
    const other = await submit(api, types[1])
    const waybill = await dispatching(lab, path, { launcher }, types)
    await until(async () => (await recordOf(waybill.store, other)).execution !== null)
    expect(started.indexOf('others')).toBeLessThan(20)
  })
})

onlyLong(() => {
  test('an operation that its execution handed back is started again', async ({ lab }) => {
    const path = lab.file()
    const launcher = launcherOn(path)
    const waybill = await dispatching(lab, path, { launcher })
    const id = await submit(waybill, type, play({ do: 'wait' }, { do: 'return', value: 'moved' }))
    await until(async () => (await logOf(waybill.store, id)).length > 0)
    await launcher.stop((await recordOf(waybill.store, id)).execution ?? '')
    expect(await resultOf(waybill.store, id)).toBe('moved')
    const { history } = await hasStatus(waybill.store, id, 'completed')
    expect(history.map(({ outcome }) => outcome)).toEqual(['released', 'completed'])
    expect(new Set(history.map(({ execution }) => execution)).size).toBe(2)
  })
})()
