/** Starts that are refused: for how long, and who learns of it; and how many executions there may be at once. */

import { describe, expect, it } from 'vitest'
import { sqliteStore } from 'waybill/stores/sqlite'
import { type Launcher, LaunchRefused, type LaunchRequest, type RefusalReason } from '../../src/launchers/launcher.ts'
import { StartRefusals } from '../../src/launchers/start-refusals.ts'
import { listAllActive } from '../../src/stores/list-all-active.ts'
import type { DispatcherOptions, Waybill } from '../../src/waybill.ts'
import { launcherOf as azureLauncherOf, azureOf, failFirst } from '../support/azure.ts'
import { play, plays } from '../support/handlers.ts'
import { KeptLog, recordOf, submit, type TestContext, test, until, when } from '../support/waybill.ts'

const type = plays({ attempts: 2 })

interface Line {
  readonly level: string
  readonly message: string
  readonly [field: string]: unknown
}

/** A logger, and what it says of starts. */
function listening() {
  const logger = new KeptLog()
  const lines = (): Line[] => logger.lines.map(({ level, message, fields }) => ({ ...fields, level, message }))
  const starts = () => lines().filter(({ message }) => /^Executions can(not)? be started/.test(message))
  return { logger, lines, starts }
}

async function dispatching(lab: TestContext, dispatcher: DispatcherOptions, path = lab.file()) {
  const { logger, lines, starts } = listening()
  const store = sqliteStore({ path, synchronous: 'NORMAL' })
  const quick = { pollInterval: 20, reconcileInterval: '1h', ...dispatcher } as const
  const waybill = await lab.waybill([type], { store, sweepInterval: '1h', logger, dispatcher: quick })
  return { waybill, lines, starts }
}

/** A launcher whose executions never end, and which does what a test says. */
function launcherOf(given: Partial<Launcher> & Pick<Launcher, 'start'>): Launcher {
  return { engine: 'test', stop: async () => {}, inspect: async () => ({ kind: 'alive' }), ...given }
}

async function waitingFor({ operations }: Waybill, id: string): Promise<string | undefined> {
  const links = { status: '', result: '', operation: '', events: '' }
  return (await operations.document(await operations.find(id, ''), links)).waitingFor
}

const DAY = 86_400_000

test.for<[given: number, delayMs: number]>([
  [Number.NaN, 1000],
  [-1, 1000],
  [60_000.4, 60_001],
  [Number.POSITIVE_INFINITY, 30 * DAY],
])('a refusal for %s ms puts a start off by %s ms', async ([given, delayMs], { lab }) => {
  const start = async () => {
    throw new LaunchRefused('Not now.', given)
  }
  const { waybill } = await dispatching(lab, { launcher: launcherOf({ start }) })
  const began = Date.now()
  const id = await submit(waybill, type, play({ do: 'return' }))
  let due = 0
  await until(async () => {
    const { launches, runAt } = await recordOf(waybill.store, id)
    due = launches === 0 ? (runAt ?? 0) : 0
    return due > 0
  })
  expect(due).toBeGreaterThanOrEqual(began + delayMs)
  expect(due).toBeLessThanOrEqual(Date.now() + delayMs)
  expect(Number.isInteger(due)).toBe(true)
})

describe('refusals that last', () => {
  const MINUTE = 60_000

  function refusals() {
    const { logger, starts } = listening()
    let now = 0
    const row = new StartRefusals({ logger, clock: () => now })
    const refuse = (reason: RefusalReason) => row.refused(new LaunchRefused(`It is ${reason}.`, 5000, { reason }))
    const levels = () => starts().map(({ level }) => level)
    const pass = (ms: number) => {
      now += ms
    }
    return { row, refuse, levels, starts, pass }
  }

  it.each(['throttled', 'quota', 'unavailable'] as const)(
    'are logged as an error within a minute and each hour, until the next start: %s',
    reason => {
      const { row, refuse, levels, starts, pass } = refusals()
      refuse(reason)
      expect(levels()).toEqual([])
      pass(MINUTE)
      // The next start may be minutes away.
      row.check()
      expect(levels()).toEqual(['error'])
      expect(starts()[0]).toMatchObject({
        reason,
        refusals: 1,
        message: `Executions cannot be started: It is ${reason}.`,
      })
      expect(row.lasting).toBe(true)
      pass(50 * MINUTE)
      refuse(reason)
      expect(levels()).toEqual(['error'])
      pass(10 * MINUTE)
      refuse(reason)
      expect(levels()).toEqual(['error', 'error'])
      row.started()
      expect(levels()).toEqual(['error', 'error', 'info'])
      expect(starts()[2]).toMatchObject({ refusals: 3, lastedMs: 61 * MINUTE })
      expect(row.lasting).toBe(false)
    },
  )

  it('are logged as an error at once if a person must fix something', () => {
    const { refuse, levels } = refusals()
    refuse('unusable')
    refuse('unusable')
    expect(levels()).toEqual(['error'])
  })

  it('are not logged if a start succeeds in between, or if a configured limit is the reason', () => {
    const { row, refuse, levels, pass } = refusals()
    for (let i = 0; i < 100; i++) {
      refuse('throttled')
      pass(MINUTE / 4)
      row.started()
      refuse('limit')
      row.check()
    }
    expect(levels()).toEqual([])
    expect(row.lasting).toBe(false)
  })
})

describe('a start that cannot succeed', () => {
  test('is in the log, in a metric and in the status of the operations that wait', async ({ lab }) => {
    const azure = await azureOf(lab, '')
    failFirst(azure, 'start', { answer: { status: 403, code: 'AuthorizationFailed' } }, 1_000_000)
    const { launcher } = azureLauncherOf(lab, azure)
    const { waybill, starts } = await dispatching(lab, { launcher })
    const id = await submit(waybill, type, play())
    await until(() => starts().length > 0)
    expect(starts()).toMatchObject([{ level: 'error', reason: 'unusable' }])
    expect(starts()[0]?.message).toContain('role Container Apps Jobs Operator')
    expect(await waitingFor(waybill, id)).toBe('No execution can be started at present; Waybill keeps trying.')
    expect(await waybill.metrics.text()).toContain(
      `waybill_launch_refusals_total{operation="${type.name}",reason="unusable"} 1`,
    )
    // The refusal is reported before it is recorded.
    await when(
      waybill.store,
      id,
      ({ status, attempt, launches }) => `${status} ${attempt} ${launches}` === 'pending 0 0',
    )
  })

  test('is logged as over when a start succeeds', async ({ lab }) => {
    let refused = 0
    const launcher = launcherOf({
      start: async () => {
        if (refused++ === 0) throw new LaunchRefused('The role is missing.', 50, { reason: 'unusable' })
        return 'an-execution'
      },
    })
    const { waybill, starts } = await dispatching(lab, { launcher })
    const id = await submit(waybill, type, play())
    await until(() => starts().length === 2)
    expect(starts().map(({ level }) => level)).toEqual(['error', 'info'])
    await until(async () => (await recordOf(waybill.store, id)).execution === 'an-execution')
    expect(await waitingFor(waybill, id)).toMatch(/^Its execution has started/)
  })

  test.for([
    [409, 'ContainerAppQuotaExceeded', 'quota'],
    [403, 'MaxNumberOfJobExecutionsReached', 'quota'],
    [429, 'TooManyRequests', 'throttled'],
    [409, 'Conflict', 'throttled'],
    [404, 'ResourceNotFound', 'unusable'],
    [400, 'InvalidRequestContent', 'unusable'],
  ] as const)('is refused by Azure with %i %s for the reason %s', async ([status, code, reason], { lab }) => {
    const azure = await azureOf(lab, '')
    failFirst(azure, 'start', { answer: { status, code } })
    const { launcher } = azureLauncherOf(lab, azure)
    const request: LaunchRequest = { operationId: 'an-order', type: 'orders', timeoutMs: 1000, attempt: 0, launch: 1 }
    await expect(launcher.start(request)).rejects.toMatchObject({ name: 'LaunchRefused', reason })
  })
})

describe('with maxExecutions', () => {
  test('no more executions are started than the limit of all processes, and an end makes room', async ({ lab }) => {
    const path = lab.file()
    const started: string[] = []
    const starter = (name: string) =>
      launcherOf({
        start: async () => {
          started.push(name)
          return `${name}-${started.length}`
        },
      })
    const first = await dispatching(lab, { launcher: starter('first'), maxExecutions: 3 }, path)
    for (let i = 0; i < 8; i++) await submit(first.waybill, type, play())
    await until(() => started.length === 3)
    await first.waybill.stop()
    const { waybill } = await dispatching(lab, { launcher: starter('second'), maxExecutions: 4 }, path)
    const held = async () => (await listAllActive(waybill.store)).filter(({ execution }) => execution !== null)
    await until(async () => (await held()).length === 4)
    const [one] = await held()
    const end = { kind: 'abandon', attempt: 0, execution: one?.execution ?? '', reason: 'It has ended.' } as const
    await waybill.store.change(one?.id ?? '', end)
    await until(async () => started.length === 5 && (await held()).length === 4)
    expect(started).toEqual(['first', 'first', 'first', 'second', 'second'])
  })

  test.for([0, -1, 1.5, 10_001])('%d is refused with the name of the option', (maxExecutions, { lab }) => {
    const launcher = launcherOf({ start: async () => undefined })
    expect(() => lab.composition([type], { dispatcher: { launcher, maxExecutions } })).toThrow(/maxExecutions/)
  })
})

test('an execution that cannot be inspected does not prevent the inspection of others', async ({ lab }) => {
  let started = 0
  const looked = new Set<string>()
  const launcher = launcherOf({
    start: async () => `execution-${started++}`,
    inspect: async execution => {
      looked.add(execution)
      if (execution === 'execution-3') throw new Error('The engine is out of order.')
      return { kind: 'alive' }
    },
  })
  const { waybill, lines } = await dispatching(lab, { launcher, reconcileInterval: 50 })
  for (let i = 0; i < 24; i++) await submit(waybill, type, play())
  await until(() => looked.size === 24)
  expect(await waybill.metrics.text()).toContain(`waybill_executions{operation="${type.name}"} 24`)
  const failed = lines().filter(({ message }) => message === 'Could not find out what happened to an execution')
  expect(new Set(failed.map(({ execution }) => execution))).toEqual(new Set(['execution-3']))
})

test('a launcher that throws at every call stops neither the process nor its loops nor its shutdown', async ({
  lab,
}) => {
  const calls = new Set<string>()
  const failing = (name: string) => () => {
    calls.add(name)
    throw new TypeError(`${name} is out of order.`)
  }
  const launcher: Launcher = {
    engine: 'test',
    open: failing('open'),
    start: failing('start'),
    stop: failing('stop'),
    inspect: failing('inspect'),
    watchEnds: failing('watchEnds'),
    close: failing('close'),
  }
  const { waybill, lines } = await dispatching(lab, { launcher, reconcileInterval: 50 })
  const id = await submit(waybill, type, play())
  await until(() => calls.has('start'))
  await until(async () => (await recordOf(waybill.store, id)).launches === 1)
  // As if an execution had come up all the same.
  await waybill.store.change(id, { kind: 'launched', launch: 1, execution: 'an-execution', engine: 'test' })
  await until(() => calls.has('inspect'))
  await waybill.operations.cancel(id, '')
  await until(() => calls.has('stop'))
  expect(waybill.stalled()).toEqual([])
  await waybill.stop()
  expect([...calls].sort()).toEqual(['close', 'inspect', 'open', 'start', 'stop', 'watchEnds'])
  expect(lines().filter(({ level }) => level === 'warn').length).toBeGreaterThanOrEqual(4)
})
