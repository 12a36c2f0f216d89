/** Registers the conformance suite of launchers with a test runner. */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type ExecutionState,
  type Launcher,
  LaunchRefused,
  type LaunchRequest,
  REFUSAL_REASONS,
} from '../launchers/launcher.ts'
import { numberedId } from './store-conformance/context.ts'
import type { TestFunctions } from './store-conformance/store-conformance.ts'

/** A launcher, and what a test can do with its engine. */
export interface LauncherUnderTest {
  /** The launcher. Its executions run until they are stopped. The suite opens and closes it. */
  readonly launcher: Launcher
  /** Makes another launcher of the same engine, as another process would. The suite closes it. */
  readonly another: () => Launcher
  /** Kills an execution, as a crash would. */
  readonly kill: (execution: string) => void | Promise<void>
  /** Makes the engine refuse all starts until {@link LauncherUnderTest.accept}. */
  readonly refuse: () => void
  readonly accept: () => void
  /** Makes the engine perform the next start and lose the answer. Leave it out if the engine cannot do this. */
  readonly loseAnswer?: (() => void) | undefined
  /** How many executions were started for an operation, including those that have ended. */
  readonly countStarted: (operationId: string) => number | Promise<number>
  /** Ends all executions, and frees the engine. */
  readonly close: () => void | Promise<void>
}

/** Options of {@link launcherConformance}. */
export interface LauncherConformanceOptions {
  /** What the suite is named after. */
  readonly name: string
  /** Makes a launcher on an engine without executions. Called once for each test. */
  readonly make: () => Promise<LauncherUnderTest>
}

/** How long an engine may take to show a change, in milliseconds. */
const PATIENCE_MS = 40_000
const PAUSE_MS = 20

/** Names that no engine gives. Some would be paths or programs if they were used literally. */
const UNKNOWN_NAMES = ['unknown', 'orders-job-0000000', '../jobs', 'a/b?c=d#e', 'process-1-1-x-00', '', ' ', '-1', 'ü']

type Body = (test: LauncherUnderTest) => Promise<void>

const TESTS: Readonly<Record<string, Body>> = {
  'has a word for its engine': async ({ launcher }) => {
    assert.match(launcher.engine, /^\S+$/)
  },

  'starts an execution, which is alive until it is stopped, and then gone with a reason': async test => {
    const execution = await started(test, 1)
    assert.deepEqual(await test.launcher.inspect(execution), { kind: 'alive' })
    await test.launcher.stop(execution)
    const { reason } = await gone(test.launcher, execution)
    assert.match(reason, /\S/)
  },

  'knows that an execution has crashed': async test => {
    const execution = await started(test, 1)
    await test.kill(execution)
    const { reason } = await gone(test.launcher, execution)
    assert.match(reason, /\S/)
  },

  'starts executions of several operations at once, each with a name of its own': async test => {
    const executions = await Promise.all([1, 2, 3].map(number => started(test, number)))
    assert.equal(new Set(executions).size, 3)
    for (const execution of executions) assert.equal((await test.launcher.inspect(execution)).kind, 'alive')
  },

  'takes the same start twice, one after the other and at once': async test => {
    const request = requestFor(1)
    const names = [await started(test, 1), await started(test, 1)]
    names.push(...(await Promise.all([started(test, 1), started(test, 1)])))
    for (const name of names) assert.equal((await test.launcher.inspect(name)).kind, 'alive')
    assert.ok((await test.countStarted(request.operationId)) >= 1)
  },

  'stops an execution that is gone, and one that is stopping, without an error': async test => {
    const execution = await started(test, 1)
    await Promise.all([test.launcher.stop(execution), test.launcher.stop(execution)])
    await gone(test.launcher, execution)
    await test.launcher.stop(execution)
    assert.equal((await test.launcher.inspect(execution)).kind, 'gone')
  },

  'takes executions that it does not know for gone, and stops none of them': async test => {
    const execution = await started(test, 1)
    for (const name of UNKNOWN_NAMES) {
      assert.equal((await test.launcher.inspect(name)).kind, 'gone', JSON.stringify(name))
      await test.launcher.stop(name)
    }
    assert.equal((await test.launcher.inspect(execution)).kind, 'alive')
  },

  'refuses a start that its engine refuses, says when it may succeed and why not, and has started nothing':
    async test => {
      const request = requestFor(1)
      test.refuse()
      const refusal = await test.launcher.start(request).catch((error: unknown) => error)
      assert.ok(refusal instanceof LaunchRefused, `It was not refused: ${refusal}`)
      assert.ok(refusal.retryAfterMs > 0 && Number.isFinite(refusal.retryAfterMs), 'It must say when to try again.')
      assert.ok(REFUSAL_REASONS.includes(refusal.reason), `There is no reason "${refusal.reason}".`)
      assert.doesNotMatch(refusal.message, /TypeError|undefined|\[object/)
      assert.equal(await test.countStarted(request.operationId), 0)
      test.accept()
      assert.equal((await test.launcher.inspect(await started(test, 1))).kind, 'alive')
    },

  'has one execution alive after a start whose answer was lost, however often it is repeated': async test => {
    if (test.loseAnswer === undefined) return
    const request = requestFor(1)
    test.loseAnswer()
    await test.launcher.start(request).catch(() => {})
    const execution = await startedWith(test, { ...request, launch: 2 })
    assert.equal((await test.launcher.inspect(execution)).kind, 'alive')
    assert.equal(await startedWith(test, { ...request, launch: 2 }), execution)
  },

  'reports ends as long as something listens, where it can': async test => {
    let told = 0
    const unwatch = test.launcher.watchEnds?.(() => told++)
    if (unwatch === undefined) return
    const execution = await started(test, 1)
    await test.kill(execution)
    await eventually(() => told > 0)
    unwatch()
    const before = told
    await test.kill(await started(test, 2))
    await gone(test.launcher, await started(test, 3).then(name => test.launcher.stop(name).then(() => name)))
    assert.equal(told, before)
  },

  'leaves executions alone when it is closed, and another one finds and stops them': async test => {
    const execution = await started(test, 1)
    await test.launcher.close?.()
    const another = test.another()
    try {
      await another.open?.()
      assert.equal((await another.inspect(execution)).kind, 'alive')
      await another.stop(execution)
      await gone(another, execution)
    } finally {
      await another.close?.()
    }
  },
}

/**
 * Registers one test for each promise of the contract of a launcher. The executions run on the author's real or
 * emulated engine.
 *
 * @param options the launcher under test
 * @param functions `describe` and `it` of the test runner: Vitest's, `node:test`'s and others' fit
 *
 * @example
 * import { describe, it } from 'node:test'
 * import type { LauncherUnderTest } from 'waybill/testing'
 *
 * const make = async (): Promise<LauncherUnderTest> => ({
 *   launcher: processLauncher({ entry: './job.ts' }),
 *   another: () => processLauncher({ entry: './job.ts' }),
 *   kill: execution => void spawn('pkill', ['-f', execution]),
 *   refuse: () => {},
 *   accept: () => {},
 *   countStarted: () => 0,
 *   close: () => {},
 * })
 * launcherConformance({ name: 'processes', make }, { describe, it })
 */
export function launcherConformance(options: LauncherConformanceOptions, { describe, it }: TestFunctions): void {
  describe(`${options.name} keeps the contract of a launcher`, () => {
    for (const [name, body] of Object.entries(TESTS)) it(name, () => run(options, body))
  })
}

async function run({ make }: LauncherConformanceOptions, body: Body): Promise<void> {
  const test = await make()
  try {
    await test.launcher.open?.()
    await body(test)
  } finally {
    await test.launcher.close?.()
    await test.close()
  }
}

function requestFor(number: number): LaunchRequest {
  return { operationId: numberedId(number), type: 'orders', timeoutMs: 60_000, attempt: 0, launch: 1 }
}

async function started(test: LauncherUnderTest, number: number): Promise<string> {
  return await startedWith(test, requestFor(number))
}

async function startedWith({ launcher }: LauncherUnderTest, request: LaunchRequest): Promise<string> {
  const execution = await launcher.start(request)
  assert.ok(execution, 'The launcher of a suite must learn the names of executions from its engine.')
  return execution
}

async function gone(launcher: Launcher, execution: string): Promise<Extract<ExecutionState, { kind: 'gone' }>> {
  let state: ExecutionState | undefined
  await eventually(async () => {
    state = await launcher.inspect(execution)
    return state.kind === 'gone'
  })
  assert.ok(state?.kind === 'gone')
  return state
}

async function eventually(condition: () => boolean | Promise<boolean>): Promise<void> {
  const until = performance.now() + PATIENCE_MS
  while (!(await condition())) {
    if (performance.now() > until) assert.fail('The engine did not get there.')
    await sleep(PAUSE_MS)
  }
}
