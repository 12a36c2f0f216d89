import { describe, expect, onTestFinished, vi } from 'vitest'
import { defineOperation, handler, ProblemError } from 'waybill'
import { LaunchRefused } from '../../src/launchers/launcher.ts'
import type { Change, Operation, Outcome } from '../../src/model/operation.ts'
import type { AnyOperationType } from '../../src/model/operation-type.ts'
import { briefProblem } from '../../src/model/problem.ts'
import type { Problem } from '../../src/model/protocol.ts'
import type { Lease, Note, Store } from '../../src/stores/store.ts'
import { inlineRunner } from '../../src/worker/runners/inline.ts'
import { type Runner, StopError } from '../../src/worker/runners/runner.ts'
import { RunningAttempt } from '../../src/worker/running-attempt.ts'
import { Worker } from '../../src/worker/worker.ts'
import { FIRST_ATTEMPT } from '../support/task.ts'
import {
  faultyStore,
  hasFinished,
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

const tasks = defineOperation({ name: 'tasks', attempts: 2, backoff: { initial: 10, max: 10, jitter: 0 } })

/** Values that JSON cannot say, or that fight back. */
function oddValues(): Record<string, unknown> {
  const cycle: Record<string, unknown> = { name: 'itself' }
  cycle.self = cycle
  return {
    'a big integer': 10n,
    'an object that holds itself': cycle,
    'a function': () => {},
    'a symbol': Symbol('odd'),
    'a date that is none': new Date(Number.NaN),
    'a toJSON that throws': {
      toJSON: () => {
        throw new Error('no')
      },
    },
    'a getter that throws': Object.defineProperty({}, 'x', {
      enumerable: true,
      get: () => {
        throw new Error('no')
      },
    }),
    'a proxy that throws': new Proxy(
      {},
      {
        ownKeys: () => {
          throw new Error('no')
        },
      },
    ),
    'an object without a prototype': Object.create(null),
    'half a pair and NUL': '\ud800\0',
    'ten megabytes': 'x'.repeat(10_000_000),
    'a deep nest': Array.from({ length: 10_000 }).reduce<unknown>(inner => [inner], 1),
  }
}

async function failureOf(lab: TestContext, thrown: () => unknown): Promise<Problem> {
  const handlers = handler(tasks, () => {
    throw thrown()
  })
  const waybill = await lab.waybill([tasks], { worker: { handlers } })
  const { status, error } = await hasFinished(waybill.store, await submit(waybill, tasks))
  expect(status).toBe('failed')
  return error as Problem
}

describe('a problem of any shape ends the operation', () => {
  for (const [name, value] of Object.entries(oddValues())) {
    test(`with ${name} as an extension`, async ({ lab }) => {
      const problem = await failureOf(lab, () => new ProblemError({ status: 422, title: 'Odd', amount: value }))
      expect(problem).toMatchObject({ status: 422, title: 'Odd' })
      expect(Buffer.byteLength(JSON.stringify(problem))).toBeLessThanOrEqual(16 * 1024)
    })

    test(`with ${name} in the place of each string`, async ({ lab }) => {
      const init = { title: value, detail: value, type: value, code: value } as unknown as { title: string }
      const problem = await failureOf(lab, () => new ProblemError(init))
      for (const member of ['title', 'type'] as const) expect(problem[member]).toBeTypeOf('string')
      expect(Buffer.byteLength(JSON.stringify(problem))).toBeLessThanOrEqual(16 * 1024)
    })

    test(`with ${name} thrown as it is`, async ({ lab }) => {
      expect(await failureOf(lab, () => value)).toMatchObject({ status: 500, code: 'operation-failed' })
    })
  }

  test('keeps as many extensions as fit, and big integers as strings', async ({ lab }) => {
    const extensions = Object.fromEntries(Array.from({ length: 100 }, (_, n) => [`part${n}`, 'ü'.repeat(200)]))
    const problem = await failureOf(
      lab,
      () => new ProblemError({ status: 409, title: 'Many', amount: 10n, __proto__: { a: 1 }, ...extensions }),
    )
    expect(problem).toMatchObject({ amount: '10', part0: 'ü'.repeat(200) })
    expect(Buffer.byteLength(JSON.stringify(problem))).toBeLessThanOrEqual(16 * 1024)
    expect(problem).not.toHaveProperty('part99')
  })

  test('that cannot be read has only its standard members', async ({ lab }) => {
    const toJSON = () => {
      throw new Error('no')
    }
    const problem = await failureOf(lab, () => new ProblemError({ status: 422, title: 'Odd', toJSON }))
    expect(problem).toEqual({ type: 'about:blank', title: 'Odd', status: 422 })
  })

  test('is shortened in the history, which every change of the record contains', async ({ lab }) => {
    const handlers = handler(tasks, () => {
      throw new ProblemError({ status: 409, title: 'Long', detail: 'x'.repeat(5000), more: 'y'.repeat(5000) })
    })
    const waybill = await lab.waybill([tasks], { worker: { handlers } })
    const { error, history } = await hasFinished(waybill.store, await submit(waybill, tasks))
    expect(error).toMatchObject({ detail: 'x'.repeat(5000), more: 'y'.repeat(5000) })
    expect(history[0]?.error).toEqual({ type: 'about:blank', status: 409, title: 'Long', detail: 'x'.repeat(500) })
    const short = new ProblemError({ status: 409, title: 'Short', more: 'y' }).problem
    expect(briefProblem(short)).toBe(short)
  })

  test.for([0.5, 2 ** 53, 30 * 86_400_000 + 1])(
    'asks for whole milliseconds within 30 days of %s',
    async (ms, { lab }) => {
      const [store, warned] = [await lab.store(), vi.spyOn(process, 'emitWarning')]
      const handlers = handler(tasks, () => {
        throw new ProblemError({ status: 503, title: 'Later' }, { retryAfter: ms })
      })
      const waybill = await lab.waybill([tasks], { store, worker: { handlers } })
      const id = await submit(waybill, tasks)
      await until(async () => (await recordOf(store, id)).history.length > 0)
      const { runAt, updatedAt, status } = await recordOf(store, id)
      if (ms > 1)
        expect({ status, delay: (runAt ?? 0) - updatedAt }).toEqual({ status: 'pending', delay: 30 * 86_400_000 })
      expect(warned.mock.calls.filter(([message]) => String(message).includes('Timeout'))).toEqual([])
    },
  )

  test('of another copy of the package, or without a mark', async ({ lab }) => {
    vi.resetModules()
    const copy = await import('../../src/model/problem.ts')
    expect(copy.ProblemError).not.toBe(ProblemError)
    const problem = await failureOf(lab, () => new copy.ProblemError({ status: 422, title: 'A copy of it' }))
    expect(problem).toMatchObject({ status: 422, title: 'A copy of it' })
    expect(new copy.ProblemError({}) instanceof ProblemError).toBe(true)
    class OwnError extends ProblemError {}
    expect(new ProblemError({}) instanceof OwnError).toBe(false)
    expect(new OwnError({}) instanceof OwnError).toBe(true)
  })
})

test('errors of another copy of the package are recognized', async () => {
  vi.resetModules()
  const copies = [
    await import('../../src/launchers/launcher.ts'),
    await import('../../src/worker/runners/runner.ts'),
  ] as const
  expect(new copies[0].LaunchRefused('busy', 1)).toBeInstanceOf(LaunchRefused)
  expect(new copies[1].StopError('TimeoutError')).toBeInstanceOf(StopError)
  expect(new Error('another')).not.toBeInstanceOf(LaunchRefused)
})

describe('a result that cannot be written', () => {
  const itself: Record<string, unknown> = {}
  itself.self = itself
  const cases: Record<string, [make: () => unknown, code: string]> = {
    'is refused where it holds itself': [() => itself, 'invalid-output'],
    'is refused where it has a big integer': [() => ({ n: 10n }), 'invalid-output'],
    'is refused past 32 MiB': [() => 'ü'.repeat(17 * 1024 * 1024), 'output-too-large'],
  }
  for (const [name, [make, code]] of Object.entries(cases)) {
    test(`${name}, and the handler runs once`, async ({ lab }) => {
      let ran = 0
      const handlers = handler(tasks, () => {
        ran++
        return make()
      })
      const waybill = await lab.waybill([tasks], { worker: { handlers } })
      const { status, error } = await hasFinished(waybill.store, await submit(waybill, tasks))
      expect({ status, code: error?.code, ran }).toEqual({ status: 'failed', code, ran: 1 })
    })
  }
})

/** A store that refuses some outcomes for good, as one does that cannot hold them. */
function refusing(store: Store, refuses: (outcome: Outcome) => boolean): Store {
  return new Proxy(store, {
    get: (target, name: keyof Store) => {
      const method = target[name] as ((...given: unknown[]) => unknown) | undefined
      if (name !== 'change') return method?.bind(target)
      return async (...given: Parameters<Store['change']>) => {
        const [, change] = given
        if (change.kind === 'finish' && refuses(change.outcome)) throw new Error('Invalid string length')
        return await target.change(...given)
      }
    },
  })
}

describe('an outcome that the store refuses for good', () => {
  test('is replaced by a failure that the store accepts', async ({ lab }) => {
    const real = await lab.store()
    let refused = 0
    const store = refusing(real, ({ kind }) => kind === 'completed' && ++refused > 0)
    const logger = new KeptLog()
    const handlers = handler(tasks, () => 'what cannot be kept')
    const waybill = await lab.waybill([tasks], { store, logger, worker: { handlers } })
    const id = await submit(waybill, tasks)
    await until(() => waybill.stalled().includes('work.record'))
    const { status, error, attempt } = await hasFinished(real, id)
    expect({ status, code: error?.code, attempt }).toEqual({ status: 'failed', code: 'internal-error', attempt: 1 })
    await until(() => waybill.stalled().length === 0)
    expect(refused).toBe(8)
    expect(logger.lines.map(({ message }) => message)).toContain('An operation failed')
  })

  test('leads to a lost lease if even the failure is refused', async ({ lab }) => {
    const store = refusing(await lab.store(), () => true)
    const logger = new KeptLog()
    const waybill = await lab.waybill([tasks], {
      store,
      logger,
      worker: { handlers: handler(tasks, () => 1), leaseDuration: '1h' },
    })
    await submit(waybill, tasks)
    await until(() => logger.lines.some(({ message }) => message === 'Could not record an outcome'))
    expect(waybill.running()).toBe(0)
  })
})

describe('a record that another transaction has locked for long', () => {
  const LEASE_MS = 30_000

  /** An attempt whose record is locked during some tries to write it, and what is written in the end. */
  function locked(tries: number) {
    let left = tries
    const written: unknown[] = []
    const write = async <T>(what: unknown, answer: T) => {
      if (left-- > 0) throw new Error('Another transaction holds the row.')
      written.push(what)
      return answer
    }
    const store = {
      change: async (_: string, change: Change) => await write(change, {} as Operation),
      appendNote: async (_: Lease, note: Note) => await write(note, true),
      steps: async () => new Map(),
      renew: async () => [{ kind: 'busy' }],
    } as unknown as Store
    const durations = { leaseMs: LEASE_MS, graceMs: LEASE_MS, shutdownMs: LEASE_MS }
    const settings = { store, blobs: undefined, logger: SILENT, ...durations }
    return { run: new RunningAttempt({ id: 'a', attempt: 1 }, tasks, performance.now(), settings), written }
  }

  test('gets the outcome once it is released, and not a failure in its place', async () => {
    vi.useFakeTimers()
    onTestFinished(() => void vi.useRealTimers())
    const { run, written } = locked(9)
    const completed = { kind: 'finish', attempt: 1, outcome: { kind: 'completed', output: '1' } } as const
    const recorded = run.record(completed)
    await vi.advanceTimersByTimeAsync(LEASE_MS)
    expect(await recorded).toMatchObject({ kind: 'recorded', change: completed })
    expect(written).toEqual([completed])
  })

  test('gets the steps of the attempt, whose work is then not repeated', async () => {
    const { run, written } = locked(4)
    const charge = handler(tasks, async (_, { step }) => await step('charge', () => 7))
    const runner = inlineRunner(charge, LEASE_MS)
    await runner.start(() => {})
    expect(await run.run(runner, FIRST_ATTEMPT)).toEqual({ kind: 'completed', output: '7' })
    expect(written).toEqual([{ kind: 'step', name: 'charge', value: '7' }])
  })
})

test('an outcome whose first response was lost counts, and is not reported as late', async ({ lab }) => {
  const real = await lab.store()
  let lost = 0
  const store = new Proxy(real, {
    get: (target, name: keyof Store) => {
      const method = target[name] as ((...given: unknown[]) => unknown) | undefined
      if (name !== 'change') return method?.bind(target)
      return async (...given: Parameters<Store['change']>) => {
        const answer = await target.change(...given)
        if (given[1].kind === 'finish' && lost++ === 0) throw new Error('The answer is lost.')
        return answer
      }
    },
  })
  const logger = new KeptLog()
  const waybill = await lab.waybill([tasks], { store, logger, worker: { handlers: handler(tasks, () => 'done') } })
  expect(await resultOf(real, await submit(waybill, tasks))).toBe('done')
  await until(() => logger.lines.some(({ message }) => message === 'An operation completed'))
  expect(logger.lines.filter(({ message }) => message.includes('too late'))).toEqual([])
  expect(await waybill.metrics.text()).toContain(
    'waybill_operations_finished_total{operation="tasks",outcome="completed"} 1',
  )
})

describe('a runner that', () => {
  const cases: Record<string, (calls: number) => ReturnType<Runner['run']>> = {
    throws: () => {
      throw new Error('fork: out of memory')
    },
    rejects: () => Promise.reject(new Error('fork: out of memory')),
  }
  for (const [name, fail] of Object.entries(cases)) {
    test(`${name} frees its slot, and its attempt is recorded`, async ({ lab }) => {
      const store = await lab.store()
      let calls = 0
      const run: Runner['run'] = async () => ({ kind: 'completed', output: '"made it"' })
      const runner: Runner = {
        start: async () => ['tasks'],
        run: (...given) => (++calls === 1 ? fail(calls) : run(...given)),
        close: async () => {},
      }
      const worker = workerOn(store, runner)
      lab.onEnd(() => worker.stop())
      await worker.start()
      const id = await submit(lab.composition([tasks], { store }), tasks)
      expect(await resultOf(store, id)).toBe('made it')
      expect((await recordOf(store, id)).history.map(({ outcome }) => outcome)).toEqual(['failed', 'completed'])
      await until(() => worker.running === 0)
    })
  }

  test('ignores a stop is abandoned after the time of a lease', async ({ lab }) => {
    const store = await lab.store()
    const hung: Runner = { start: async () => ['tasks'], run: () => new Promise(() => {}), close: async () => {} }
    const worker = workerOn(store, hung, { leaseMs: 300 })
    lab.onEnd(() => worker.stop())
    await worker.start()
    const id = await submit(lab.composition([tasks], { store }), tasks)
    await until(() => worker.running === 1)
    await store.change(id, { kind: 'cancel' })
    expect((await hasFinished(store, id)).status).toBe('canceled')
  })
})

function workerOn(store: Store, runner: Runner, options: { leaseMs?: number } = {}): Worker {
  return new Worker({
    store,
    runner,
    types: [tasks],
    concurrency: 1,
    leaseMs: 3000,
    graceMs: 10,
    shutdownMs: 10,
    pollIntervalMs: 20,
    logger: SILENT,
    ...options,
  })
}

describe('a logger that', () => {
  const boom = () => {
    throw new Error('The logger is broken.')
  }
  const loggers = {
    throws: { info: boom, warn: boom, error: boom },
    rejects: { info: async () => boom(), warn: async () => boom(), error: async () => boom() },
  }
  for (const [name, logger] of Object.entries(loggers)) {
    test(`${name} does not prevent the end of an attempt`, async ({ lab }) => {
      const written = vi.spyOn(process.stderr, 'write').mockReturnValue(true)
      lab.onEnd(() => written.mockRestore())
      const handlers = handler(tasks, () => {
        throw { code: 5n }
      })
      const waybill = await lab.waybill([tasks], { logger, worker: { handlers, concurrency: 1 } })
      for (let n = 0; n < 2; n++) {
        expect((await hasFinished(waybill.store, await submit(waybill, tasks))).status).toBe('failed')
      }
      await until(() => written.mock.calls.some(([line]) => String(line).includes('An operation failed')))
    })
  }

  test('is the default one writes any value', async ({ lab }) => {
    const written = vi.spyOn(process.stderr, 'write').mockReturnValue(true)
    lab.onEnd(() => written.mockRestore())
    const { stderrLogger } = await import('../../src/util/logger.ts')
    for (const value of Object.values(oddValues()))
      stderrLogger.error({ value, err: new Error('boom', { cause: value }) }, 'odd')
    const lines = written.mock.calls.map(([line]) => JSON.parse(String(line)) as { err: { stack: string } })
    expect(lines).toHaveLength(Object.keys(oddValues()).length)
    for (const { err } of lines) expect(err.stack).toContain('Error: boom')
  })
})

test('progress in a loop causes few writes, and the newest value is kept', async ({ lab }) => {
  const { store, calls } = faultyStore(await lab.store())
  const handlers = handler(tasks, (_, job) => {
    for (let turn = 1; turn <= 200_000; turn++) {
      job.progress(turn / 200_000, `turn ${turn}`)
      job.log(`line ${turn}`)
    }
    throw new ProblemError({ status: 409, title: 'Enough' })
  })
  const waybill = await lab.waybill([tasks], { store, worker: { handlers } })
  const id = await submit(waybill, tasks)
  const { progress } = await hasFinished(store, id)
  expect(progress?.message).toBe('turn 200000')
  const lines = await logOf(store, id)
  expect([lines[0], lines.at(-1)]).toEqual(['line 1', 'line 200000'])
  expect(lines.filter(line => line.includes('dropped'))).toEqual([
    '199501 log lines of this attempt were dropped here.',
  ])
  expect(calls.get('appendNote')).toBe(500)
  expect(calls.get('change')).toBeLessThan(20)
})

describe('the end of every attempt is logged once', () => {
  async function linesOf(lab: TestContext, work: () => unknown, type: AnyOperationType = tasks) {
    const logger = new KeptLog()
    const waybill = await lab.waybill([type], { logger, worker: { handlers: handler(type, work) } })
    const { status, history, id } = await hasFinished(waybill.store, await submit(waybill, type))
    await until(() => logger.lines.length >= history.length)
    return { status, id, lines: logger.lines }
  }

  test('as info if it completed', async ({ lab }) => {
    const { lines, id } = await linesOf(lab, () => 1)
    expect(lines).toEqual([
      {
        level: 'info',
        message: 'An operation completed',
        fields: {
          operation: id,
          type: 'tasks',
          attempt: 1,
          of: 2,
          outcome: 'completed',
          durationMs: expect.any(Number),
        },
      },
    ])
  })

  test('as a warning if it is retried, and as an error if it was the last attempt', async ({ lab }) => {
    const { lines } = await linesOf(lab, () => {
      throw new TypeError('boom', { cause: new Error('the cause') })
    })
    expect(lines.map(({ level, message }) => [level, message])).toEqual([
      ['warn', 'An attempt failed and will be retried'],
      ['error', 'An operation failed'],
    ])
    expect(lines[0]?.fields).toMatchObject({
      attempt: 1,
      of: 2,
      outcome: 'failed',
      retryInMs: 10,
      problem: { code: 'operation-failed' },
      err: {
        name: 'TypeError',
        message: 'boom',
        stack: expect.stringContaining('boom'),
        cause: { message: 'the cause' },
      },
    })
  })

  test('as info if the handler reports a problem of the request', async ({ lab }) => {
    const { lines } = await linesOf(lab, () => {
      throw new ProblemError({ status: 422, title: 'Out of stock' })
    })
    expect(lines.map(({ level, message }) => [level, message])).toEqual([['info', 'An operation failed']])
  })

  test('with the reason if it timed out', async ({ lab }) => {
    const hasty = defineOperation({ name: 'hasty', timeout: 20, attempts: 1 })
    const { lines } = await linesOf(lab, () => new Promise(() => {}), hasty)
    expect(lines).toMatchObject([{ level: 'error', fields: { problem: { code: 'attempt-timeout' } } }])
  })
})

test.for(['', 'x'.repeat(201), 'charge\0', 'charge\ud800'])(
  'a step with the name %j is refused before it runs',
  async (name, { lab }) => {
    let done = 0
    const handlers = handler(tasks, async (_, job) => await job.step(name, () => ++done).catch(String))
    const waybill = await lab.waybill([tasks], { worker: { handlers } })
    const said = await resultOf(waybill.store, await submit(waybill, tasks))
    expect([said, done]).toEqual([expect.stringContaining('A step needs a name of 1 to 200 characters'), 0])
  },
)
