import { type ChildProcess, fork, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { getPriority } from 'node:os'
import { describe, expect } from 'vitest'
import { sqliteStore } from 'waybill/stores/sqlite'
import type { Waybill, WorkerOptions } from '../../src/waybill.ts'
import { isGone, pidOf, worker } from '../support/children.ts'
import { type Act, handlerFile, play, plays } from '../support/handlers.ts'
import { atLength, onlyLong } from '../support/length.ts'
import { controlTimeouts, LONG_MS } from '../support/timeouts.ts'
import {
  faultyStore,
  hasFinished,
  hasStatus,
  KeptLog,
  logOf,
  recordOf,
  resultOf,
  submit,
  type TestContext,
  test,
  until,
  when,
} from '../support/waybill.ts'

const type = plays({ attempts: 2 })

/** Submits acts to a worker with children. */
async function perform(waybill: Waybill, ...acts: Act[]): Promise<string> {
  return await submit(waybill, type, play(...acts))
}

describe('children', () => {
  test('run handlers in a process of their own, and reuse it', async ({ lab }) => {
    const waybill = await lab.waybill([type], worker())
    const first = await resultOf(waybill.store, await perform(waybill, { do: 'pid' }))
    const second = await resultOf(waybill.store, await perform(waybill, { do: 'pid' }))
    expect(first).not.toBe(process.pid)
    expect(second).toBe(first)
  })

  onlyLong(test)('end when the composition stops', async ({ lab }) => {
    const waybill = await lab.waybill([type], worker())
    const pid = await resultOf(waybill.store, await perform(waybill, { do: 'pid' }))
    await waybill.stop()
    expect(isGone(Number(pid))).toBe(true)
  })

  onlyLong(test)('have the lowest scheduling priority, if the system has one', async ({ lab }) => {
    const waybill = await lab.waybill([type], worker({ niceness: 'idle' }))
    const pid = Number(await resultOf(waybill.store, await perform(waybill, { do: 'pid' })))
    await until(() => getPriority(pid) === 10 && policyOf(pid) === policyAtMost())
  })

  test('have exactly the niceness of the option', async ({ lab }) => {
    const waybill = await lab.waybill([type], worker({ niceness: 7 }))
    const pid = Number(await resultOf(waybill.store, await perform(waybill, { do: 'pid' })))
    expect(getPriority(pid)).toBe(7)
    expect(policyOf(pid)).toBe(SCHED_OTHER)
    expect(() => lab.composition([type], worker({ niceness: 20 }))).toThrow(
      'worker.niceness must be a whole number from 0 to 19, or "idle", not 20.',
    )
  })

  test('equal concurrent steps are separate steps', async ({ lab }) => {
    const waybill = await lab.waybill([type], worker())
    const id = await perform(waybill, { do: 'step' })
    expect(await resultOf(waybill.store, id)).toEqual([1, 1])
    expect((await logOf(waybill.store, id)).filter(line => line === 'ran')).toHaveLength(2)
  })

  test('a step survives the crash of its process', async ({ lab }) => {
    const crashing = plays({ attempts: 3 })
    const waybill = await lab.waybill([crashing], worker({ handlers: handlerFile('steps') }))
    const id = await submit(waybill, crashing)
    expect(await resultOf(waybill.store, id)).toEqual({ attempt: 2, charged: 1 })
    expect((await recordOf(waybill.store, id)).history.map(({ outcome }) => outcome)).toEqual(['failed', 'completed'])
  })

  test('progress is passed on, coalesced', async ({ lab }) => {
    const waybill = await lab.waybill([type], worker())
    const id = await perform(waybill, { do: 'progress' })
    const { progress, version } = await when(waybill.store, id, it => it.progress?.message === 'call 1000')
    expect(progress).toEqual({ fraction: 0.5, message: 'call 1000' })
    expect(version).toBeLessThan(10)
    await waybill.operations.cancel(id, '')
    await hasFinished(waybill.store, id)
  })

  test('reports in a loop are limited in the child, and an error is passed on with the outcome', async ({ lab }) => {
    const once = plays({ attempts: 1 })
    const { store, calls } = faultyStore(await lab.store())
    const logger = new KeptLog()
    const waybill = await lab.waybill([once], { store, logger, ...worker() })
    const id = await submit(waybill, once, play({ do: 'chatter' }))
    const operation = await hasFinished(store, id)
    expect(operation.progress?.message).toBe('turn 200000')
    expect((await logOf(store, id)).at(-1)).toBe('line 200000')
    expect(calls.get('appendNote')).toBe(500)
    expect(JSON.stringify(operation)).not.toContain('secret')
    const error = { name: 'TypeError', message: 'a secret of the server', cause: { message: 'the cause' } }
    expect(await store.errors(id)).toMatchObject([
      { attempt: 1, error: { ...error, stack: expect.stringContaining('plays') } },
    ])
    await until(() => logger.lines.length > 0)
    expect(logger.lines).toMatchObject([{ level: 'error', message: 'An operation failed', fields: { err: error } }])
  })

  test('calls of a handler after its end never affect the next operation', async ({ lab }) => {
    const waybill = await lab.waybill([type], worker())
    const ghost = await perform(waybill, { do: 'haunt' })
    expect(await resultOf(waybill.store, ghost)).toBe('gone')
    const next = await perform(waybill, { do: 'block', ms: 50 }, { do: 'return' })
    const waiting = await perform(waybill, { do: 'wait' })
    await hasFinished(waybill.store, next)
    await until(async () => (await logOf(waybill.store, waiting)).length > 0)
    // The ghost writes once a millisecond; a log line of the same process that comes later is behind them all.
    await waybill.operations.cancel(waiting, '')
    await hasStatus(waybill.store, waiting, 'canceled')
    for (const id of [next, waiting]) {
      expect((await logOf(waybill.store, id)).filter(line => line.includes('ghost'))).toEqual([])
      expect((await waybill.store.steps(id)).size).toBe(0)
      expect((await recordOf(waybill.store, id)).progress?.message).toBeUndefined()
    }
  })
})

describe('a crash of a child', () => {
  const crashes: { name: string; act: Act; reason: string; init?: Partial<WorkerOptions> }[] = [
    { name: 'with an exit code', act: { do: 'exit', code: 7 }, reason: 'Its process ended with exit code 7.' },
    { name: 'by a signal', act: { do: 'die', signal: 'SIGKILL' }, reason: 'Its process was ended by SIGKILL.' },
    {
      name: 'out of memory',
      act: { do: 'fill' },
      reason: 'Its process ran out of memory.',
      init: { execArgv: ['--max-old-space-size=32'] },
    },
  ]
  for (const { name, act, reason, init } of atLength(crashes.slice(1, 2), crashes)) {
    test(`${name} costs one attempt at once, and the next one runs in a new child`, async ({ lab }) => {
      const waybill = await lab.waybill([type], worker({ leaseDuration: '1h', ...init }))
      const id = await perform(waybill, act, { do: 'return', value: 'recovered' })
      expect(await resultOf(waybill.store, id)).toBe('recovered')
      const { history, attempt, lost } = await recordOf(waybill.store, id)
      expect({ attempt, lost }).toEqual({ attempt: 2, lost: 0 })
      expect(history[0]).toMatchObject({ number: 1, outcome: 'failed', error: { code: 'worker-lost' } })
      expect(history[0]?.error?.detail).toContain(reason)
    })
  }

  test('in every attempt fails the operation as worker-lost', async ({ lab }) => {
    const waybill = await lab.waybill([type], worker({ leaseDuration: '1h' }))
    const id = await perform(waybill, { do: 'die', signal: 'SIGKILL' })
    const { status, error, attempt } = await hasFinished(waybill.store, id)
    expect({ status, attempt, code: error?.code }).toEqual({ status: 'failed', attempt: 2, code: 'worker-lost' })
    expect(error?.detail).toContain('SIGKILL')
  })
})

describe('a child that ignores', () => {
  test('a cancel is killed after the grace time, and the next operation runs in a new child', async ({ lab }) => {
    const waybill = await lab.waybill([type], worker({ gracePeriod: 200 }))
    const id = await perform(waybill, { do: 'block', ms: 60_000 })
    const pid = await pidOf(waybill, id)
    await waybill.operations.cancel(id, '')
    const next = await perform(waybill, { do: 'pid' })
    await hasStatus(waybill.store, id, 'canceled')
    expect(await resultOf(waybill.store, next)).not.toBe(pid)
    await until(() => isGone(pid))
  })

  onlyLong(test)('a timeout is killed after the grace time, which costs one attempt', async ({ lab }) => {
    const advance = controlTimeouts(lab)
    const hasty = plays({ attempts: 2, timeout: LONG_MS })
    const waybill = await lab.waybill([hasty], worker({ gracePeriod: 100 }))
    const id = await submit(waybill, hasty, play({ do: 'ignore' }, { do: 'return', value: 'in time' }))
    await pidOf(waybill, id)
    advance(LONG_MS)
    expect(await resultOf(waybill.store, id)).toBe('in time')
    expect((await recordOf(waybill.store, id)).history[0]).toMatchObject({ error: { code: 'attempt-timeout' } })
  })
})

test('a handler in a child gets the reason to stop', async ({ lab }) => {
  const advance = controlTimeouts(lab)
  const hasty = plays({ attempts: 1, timeout: LONG_MS })
  const waybill = await lab.waybill([hasty], worker({ concurrency: 2 }))
  const late = await submit(waybill, hasty, play({ do: 'wait' }))
  await pidOf(waybill, late)
  advance(LONG_MS)
  expect(await hasFinished(waybill.store, late)).toMatchObject({ status: 'failed', error: { code: 'attempt-timeout' } })
  expect(await logOf(waybill.store, late)).toContain('TimeoutError')

  const other = await lab.waybill([type], worker())
  const canceled = await perform(other, { do: 'wait' })
  await pidOf(other, canceled)
  await other.operations.cancel(canceled, '')
  await hasStatus(other.store, canceled, 'canceled')
  expect(await logOf(other.store, canceled)).toContain('CanceledError')
})

test('a handler that computes for longer than its lease does not lose it', async ({ lab }) => {
  const waybill = await lab.waybill([type], worker({ leaseDuration: 3000 }))
  const id = await perform(waybill, { do: 'block', ms: 7000 })
  expect(await resultOf(waybill.store, id)).toBe('blocked')
  expect(await recordOf(waybill.store, id)).toMatchObject({ attempt: 1, lost: 0 })
})

test('when its parent is killed, a child ends even while it computes, and another worker takes over', async ({
  lab,
}) => {
  const path = lab.file()
  const parent = await startWorkerProcess(lab, path)
  const waybill = await lab.waybill([type], { store: sqliteStore({ path }) })
  const id = await perform(waybill, { do: 'block', ms: 120_000 }, { do: 'return', value: 'taken over' })
  const pid = await pidOf(waybill, id)
  parent.kill('SIGKILL')
  await lab.waybill([type], { store: sqliteStore({ path }), ...worker() })
  expect(await resultOf(waybill.store, id)).toBe('taken over')
  await until(() => isGone(pid))
  const { history, lost } = await recordOf(waybill.store, id)
  expect(lost).toBe(1)
  expect(history[0]).toMatchObject({ outcome: 'lost', error: { code: 'worker-lost' } })
  expect(history[0]?.error?.detail).toContain(`/${parent.pid}/`)
})

async function startWorkerProcess(lab: TestContext, path: string): Promise<ChildProcess> {
  const child = fork(new URL('../fixtures/worker-process.ts', import.meta.url), [path], { execArgv: [] })
  lab.onEnd(() => child.kill('SIGKILL'))
  await new Promise(resolve => child.once('message', resolve))
  return child
}

const [SCHED_OTHER, SCHED_IDLE] = [0, 5]

/** The scheduling policy of a process: field 41 of `proc_pid_stat(5)`, counted behind the name in parentheses. */
function policyOf(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ')[38])
}

/** The idle class, where there is a command that sets it. */
function policyAtMost(): number {
  return spawnSync('chrt', ['-i', '0', 'true']).status === 0 ? SCHED_IDLE : SCHED_OTHER
}
