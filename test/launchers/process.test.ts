import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect } from 'vitest'
import { processLauncher } from 'waybill/launchers/process'
import { LaunchRefused, type LaunchRequest } from '../../src/launchers/launcher.ts'
import type { ProcessLauncherOptions } from '../../src/launchers/process/process.ts'
import { processStart } from '../../src/util/process-start.ts'
import { type TestContext, test, until } from '../support/waybill.ts'

const request: LaunchRequest = { operationId: 'an-id', type: 'plays', timeoutMs: 1000, attempt: 0, launch: 1 }

/** A launcher of a small program, which finds the path of a file of the test in `OUT`. */
function launcherOf(lab: TestContext, program: string, options: Omit<ProcessLauncherOptions, 'entry'> = {}) {
  const out = lab.file()
  const entry = join(dirname(out), 'program.mjs')
  writeFileSync(entry, `import { existsSync, readFileSync, writeFileSync } from 'node:fs'\n${program}`)
  const launcher = processLauncher({ entry, ...options, env: { OUT: out, ...options.env } })
  return { launcher, out }
}

const WRITE_ENVIRONMENT = 'writeFileSync(process.env.OUT, JSON.stringify(process.env))'
const RUN_FOR_EVER = 'setInterval(() => {}, 1000)'

async function isGone(launcher: ReturnType<typeof processLauncher>, execution: string): Promise<boolean> {
  return (await launcher.inspect(execution)).kind === 'gone'
}

test('a process gets the operation, its own name and the variables of the composition', async ({ lab }) => {
  const { launcher, out } = launcherOf(lab, WRITE_ENVIRONMENT, { variable: 'ORDER_ID', env: { EXTRA: 'yes' } })
  const execution = (await launcher.start(request)) ?? ''
  await until(() => isGone(launcher, execution))
  const environment: unknown = JSON.parse(readFileSync(out, 'utf8'))
  expect(environment).toMatchObject({ WAYBILL_OPERATION_ID: 'an-id', ORDER_ID: 'an-id', EXTRA: 'yes' })
  const [, pid, start, ...rest] = execution.split('-')
  const name = `process-{pid}-{start}-${rest.join('-')}`
  expect(environment).toMatchObject({ WAYBILL_EXECUTION: name, WAYBILL_ENGINE: 'process' })
  expect(Number(start)).toBeGreaterThan(0)
  expect(Number(pid)).toBeGreaterThan(0)
})

test('an execution is alive until it has ended, and then reports how it ended', async ({ lab }) => {
  const { launcher } = launcherOf(lab, 'process.exit(3)')
  const ends: number[] = []
  const unwatch = launcher.watchEnds?.(() => ends.push(1))
  const execution = (await launcher.start(request)) ?? ''
  await until(() => ends.length === 1)
  expect(await launcher.inspect(execution)).toEqual({ kind: 'gone', reason: 'Its process ended with exit code 3.' })
  unwatch?.()
  const other = (await launcher.start(request)) ?? ''
  await until(() => isGone(launcher, other))
  expect(ends).toEqual([1])
})

test('a stop ends the execution, and stopping one that is gone is not an error', async ({ lab }) => {
  const { launcher } = launcherOf(lab, RUN_FOR_EVER)
  const execution = (await launcher.start(request)) ?? ''
  expect(await launcher.inspect(execution)).toEqual({ kind: 'alive' })
  await launcher.stop(execution)
  await until(() => isGone(launcher, execution))
  expect(await launcher.inspect(execution)).toEqual({ kind: 'gone', reason: 'Its process ended by SIGTERM.' })
  await launcher.stop(execution)
})

test('no more processes than the limit run, however many starts are concurrent', async ({ lab }) => {
  const { launcher } = launcherOf(lab, RUN_FOR_EVER, { maxProcesses: 2 })
  const starts = await Promise.allSettled([1, 2, 3, 4].map(() => launcher.start(request)))
  const started = starts.flatMap(start => (start.status === 'fulfilled' && start.value ? [start.value] : []))
  const refused = starts.flatMap(start => (start.status === 'rejected' ? [start.reason as unknown] : []))
  lab.onEnd(() => Promise.all(started.map(execution => launcher.stop(execution))))
  expect(started).toHaveLength(2)
  expect(refused).toHaveLength(2)
  for (const refusal of refused) expect(refusal).toBeInstanceOf(LaunchRefused)
  const [first = ''] = started
  await launcher.stop(first)
  await until(() => isGone(launcher, first))
  const next = (await launcher.start(request)) ?? ''
  started.push(next)
  expect(await launcher.inspect(next)).toEqual({ kind: 'alive' })
})

test('a new launcher knows the processes of the one before', async ({ lab }) => {
  const { launcher } = launcherOf(lab, RUN_FOR_EVER)
  const execution = (await launcher.start(request)) ?? ''
  const after = processLauncher({ entry: 'unused.mjs' })
  expect(await after.inspect(execution)).toEqual({ kind: 'alive' })
  await after.stop(execution)
  await until(() => isGone(launcher, execution))
  await until(() => isGone(after, execution))
})

test('executions with names of other launchers are gone', async () => {
  const launcher = processLauncher({ entry: 'unused.mjs' })
  for (const name of ['', 'process', 'process-0-x', `process-${process.pid}-x`, 'process-1e99-x', 'orders-job-abc12']) {
    expect(await launcher.inspect(name)).toMatchObject({ kind: 'gone' })
    await launcher.stop(name)
  }
})

const WAYBILL_PROCESS = new URL('../../src/launchers/process/process.ts', import.meta.url).href
const REQUEST = JSON.stringify(request)
const COUNT_AND_START = `
  import { appendFileSync } from 'node:fs'
  import { processLauncher } from '${WAYBILL_PROCESS}'
  appendFileSync(process.env.OUT, 'started ')
  try {
    const entry = process.env.ENTRY ?? import.meta.url
    await processLauncher({ entry: new URL(entry) }).start(${REQUEST})
  } catch (error) {
    appendFileSync(process.env.OUT, error.name + ': ' + error.message)
  }`

test('a program is refused as its own entry, under any name', async ({ lab }) => {
  const { launcher, out } = launcherOf(lab, COUNT_AND_START)
  const execution = (await launcher.start(request)) ?? ''
  await until(() => isGone(launcher, execution))
  const expected = /^started TypeError: file:\S+program.mjs is the program that starts processes\. Set the entry/
  expect(readFileSync(out, 'utf8')).toMatch(expected)
  const [, program = ''] = process.argv
  for (const entry of [program, relative('', program), pathToFileURL(program)]) {
    expect(() => processLauncher({ entry })).toThrow(/is the program that starts processes/)
  }
})

test('a process that a launcher has started starts no more of them', async ({ lab }) => {
  const other = join(dirname(lab.file()), 'other.mjs')
  const env = { ENTRY: pathToFileURL(other).href }
  const { launcher, out } = launcherOf(lab, COUNT_AND_START, { env })
  writeFileSync(other, `import { appendFileSync } from 'node:fs'\nappendFileSync(process.env.OUT, 'another ')`)
  const execution = (await launcher.start(request)) ?? ''
  await until(() => isGone(launcher, execution))
  expect(readFileSync(out, 'utf8')).toMatch(/^started LaunchRefused: This process runs a handler/)
})

/** A name of an execution as this machine's launcher gives it, with parts of it replaced. */
async function renamed(lab: TestContext, replace: (parts: string[]) => string[]): Promise<string> {
  const { launcher } = launcherOf(lab, 'process.exit(0)')
  const execution = (await launcher.start(request)) ?? ''
  await until(() => isGone(launcher, execution))
  return replace(execution.split('-')).join('-')
}

/** A process that is none of ours, and whether it was sent a signal. */
function stranger(lab: TestContext): ChildProcess {
  const child = spawn(process.execPath, ['-e', RUN_FOR_EVER], { stdio: 'ignore' })
  lab.onEnd(() => child.kill('SIGKILL'))
  return child
}

test('an execution whose process id belongs to another program now is gone, and gets no signal', async ({ lab }) => {
  const other = stranger(lab)
  // Long before the other program's.
  const name = await renamed(lab, ([kind = '', , , ...rest]) => [kind, String(other.pid), '1', ...rest])
  const launcher = processLauncher({ entry: 'unused.mjs' })
  expect(await launcher.inspect(name)).toMatchObject({ kind: 'gone' })
  await launcher.stop(name)
  // A signal of ours comes after one that a stop would have sent.
  const ended = once(other, 'exit')
  other.kill('SIGUSR2')
  expect(await ended).toEqual([null, 'SIGUSR2'])
})

test('the state of a process of another machine is unknown, and it gets no signal', async ({ lab }) => {
  const other = stranger(lab)
  const start = processStart(other.pid ?? 0) ?? ''
  const name = await renamed(lab, ([kind = '', , , token = '']) => [kind, String(other.pid), start, token, '00000000'])
  const launcher = processLauncher({ entry: 'unused.mjs' })
  expect(await launcher.inspect(name)).toEqual({ kind: 'alive' })
  await launcher.stop(name)
  const ended = once(other, 'exit')
  other.kill('SIGUSR2')
  expect(await ended).toEqual([null, 'SIGUSR2'])
})

test('the start time of a process is always the same, and that of a missing process is unknown', ({ lab }) => {
  const other = stranger(lab)
  expect(processStart(process.pid)).toBe(processStart(process.pid))
  expect(processStart(other.pid ?? 0)).toMatch(/^\w+$/)
  for (const pid of [0, -1, 1.5, 2 ** 40]) expect(processStart(pid)).toBeUndefined()
})

test('a process that cannot be spawned is refused, by an exception or an event, and frees its place', async ({
  lab,
}) => {
  const { launcher } = launcherOf(lab, 'process.exit(0)', { maxProcesses: 1 })
  // More than any system takes: spawn() throws.
  const huge = processLauncher({ entry: 'unused.mjs', maxProcesses: 1, env: { HUGE: 'x'.repeat(8 * 1024 * 1024) } })
  for (const _ of [1, 2]) await expect(huge.start(request)).rejects.toThrow(/^The process was not started: .*E2BIG/)
  const execution = (await launcher.start(request)) ?? ''
  await until(() => isGone(launcher, execution))
})
