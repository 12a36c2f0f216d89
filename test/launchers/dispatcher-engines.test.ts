/** Dispatchers of different engines on one store: each looks after its own executions, and after no others. */
import { describe, expect } from 'vitest'
import { processLauncher } from 'waybill/launchers/process'
import { sqliteStore } from 'waybill/stores/sqlite'
import type { Launcher } from '../../src/launchers/launcher.ts'
import type { Waybill } from '../../src/waybill.ts'
import { play, plays } from '../support/handlers.ts'
import { clusterOf, launcherOn } from '../support/kubernetes.ts'
import { onlyLong } from '../support/length.ts'
import {
  hasFinished,
  hasStatus,
  logOf,
  recordOf,
  resultOf,
  submit,
  type TestContext,
  test,
  until,
} from '../support/waybill.ts'

const type = plays({ attempts: 2 })
const entry = new URL('../fixtures/job.ts', import.meta.url)

/** A launcher, and which executions it was asked about and asked to stop. */
interface Watched {
  readonly launcher: Launcher
  readonly inspected: string[]
  readonly stopped: string[]
}

function watched(launcher: Launcher): Watched {
  const inspected: string[] = []
  const stopped: string[] = []
  return {
    inspected,
    stopped,
    launcher: {
      engine: launcher.engine,
      start: request => launcher.start(request),
      stop: execution => {
        stopped.push(execution)
        return launcher.stop(execution)
      },
      inspect: execution => {
        inspected.push(execution)
        return launcher.inspect(execution)
      },
    },
  }
}

/** One process at a time, on the store of the path, whose lease outlives every test. */
function processesOn(path: string, engine = 'process'): Launcher {
  const env = { TEST_STORE: path, TEST_WORKER: '{"leaseDuration": "1h"}' }
  return processLauncher({ entry, niceness: 0, maxProcesses: 1, env, engine })
}

/** A composition that hands work to a launcher. Nothing is swept: what is noticed, the dispatcher has noticed. */
async function dispatching(lab: TestContext, path: string, launcher: Launcher): Promise<Waybill> {
  const store = sqliteStore({ path, synchronous: 'NORMAL' })
  return await lab.waybill([type], {
    store,
    sweepInterval: '1h',
    dispatcher: { launcher, pollInterval: 50, reconcileInterval: 50 },
  })
}

/** Submits what goes on until it is canceled, and for a few looks longer, and waits until its handler runs. */
async function lingering(waybill: Waybill): Promise<{ id: string; execution: string }> {
  const id = await submit(waybill, type, play({ do: 'linger', ms: 4000 }))
  await until(async () => (await logOf(waybill.store, id)).length > 0)
  return { id, execution: (await recordOf(waybill.store, id)).execution ?? '' }
}

describe('dispatchers of two engines on one store', () => {
  test('ignore the executions of each other: they neither inspect nor abandon nor stop them', async ({ lab }) => {
    const path = lab.file()
    const processes = watched(processesOn(path))
    const jobs = watched(launcherOn(await clusterOf(lab, path, {}, { leaseDuration: '1h' })))
    const here = await dispatching(lab, path, processes.launcher)
    const first = await lingering(here)
    // There is one place for a process, and it is taken: the rest goes to the cluster.
    const there = await dispatching(lab, path, jobs.launcher)
    const second = await lingering(there)

    // This many looks of each that any look at the other's would have come to its end.
    const [looks, others] = [processes.inspected.length, jobs.inspected.length]
    await until(() => processes.inspected.length > looks + 5 && jobs.inspected.length > others + 5)
    expect(new Set(processes.inspected)).toEqual(new Set([first.execution]))
    expect(new Set(jobs.inspected)).toEqual(new Set([second.execution]))
    expect(await recordOf(here.store, first.id)).toMatchObject({ attempt: 1, lost: 0, engine: 'process' })
    expect(await recordOf(there.store, second.id)).toMatchObject({ attempt: 1, lost: 0, engine: 'kubernetes' })

    // Each is canceled through the process that has not started it.
    await there.operations.cancel(first.id, '')
    await here.operations.cancel(second.id, '')
    for (const { id } of [first, second]) await hasFinished(here.store, id)
    await until(() => processes.stopped.length > 0 && jobs.stopped.length > 0)
    expect([processes.stopped, jobs.stopped]).toEqual([[first.execution], [second.execution]])
    const history = async (id: string) => (await recordOf(here.store, id)).history
    expect(await history(first.id)).toMatchObject([{ execution: first.execution, engine: 'process' }])
    expect(await history(second.id)).toMatchObject([{ execution: second.execution, engine: 'kubernetes' }])
  })

  onlyLong(() => {
    test('may be of one kind, distinguished by the engine names of their launchers', async ({ lab }) => {
      const path = lab.file()
      const [mine, others] = [watched(processesOn(path, 'process-a')), watched(processesOn(path, 'process-b'))]
      const waybill = await dispatching(lab, path, mine.launcher)
      const first = await lingering(waybill)
      await dispatching(lab, path, others.launcher)
      const second = await lingering(waybill)
      await until(() => others.inspected.length > 5)
      expect(new Set(mine.inspected)).toEqual(new Set([first.execution]))
      expect(new Set(others.inspected)).toEqual(new Set([second.execution]))
      for (const { id } of [first, second]) await waybill.operations.cancel(id, '')
      expect((await hasFinished(waybill.store, first.id)).history).toMatchObject([{ engine: 'process-a' }])
      expect((await hasFinished(waybill.store, second.id)).history).toMatchObject([{ engine: 'process-b' }])
    })
  })()
})

describe('an execution', () => {
  test('that claims before its launcher has answered records its engine', async ({ lab }) => {
    const path = lab.file()
    const launcher = processesOn(path, 'a-slow-one')
    const { promise: answered, resolve: answer } = Promise.withResolvers<void>()
    const slow: Launcher = {
      ...watched(launcher).launcher,
      start: async request => {
        const execution = await launcher.start(request)
        await answered
        return execution
      },
    }
    const waybill = await dispatching(lab, path, slow)
    const id = await submit(waybill, type, play({ do: 'pid' }))
    const pid = await resultOf(waybill.store, id)
    answer()
    const { history } = await hasStatus(waybill.store, id, 'completed')
    expect(history).toMatchObject([{ engine: 'a-slow-one', execution: expect.stringMatching(`^process-${pid}-`) }])
  })

  test('without a recorded engine, as an older version leaves it, is inspected', async ({ lab }) => {
    const path = lab.file()
    const store = await lab.store(path)
    const id = await submit(lab.composition([type], { store }), type, play({ do: 'return', value: 'again' }))
    await store.claim({ holder: 'h', leaseMs: 3_600_000, execution: 'process-0-gone', engine: null, from: { id } })
    const waybill = await dispatching(lab, path, processesOn(path))
    expect(await resultOf(waybill.store, id)).toBe('again')
    expect((await recordOf(waybill.store, id)).history).toMatchObject([
      { execution: 'process-0-gone', engine: null, outcome: 'lost' },
      { engine: 'process', outcome: 'completed' },
    ])
  })
})

test('a launcher without an engine name is refused', async ({ lab }) => {
  const { engine: _, ...nameless } = watched(processesOn(lab.file())).launcher
  for (const launcher of [nameless, { ...nameless, engine: '' }]) {
    const dispatcher = { launcher: launcher as Launcher }
    expect(() => lab.composition([type], { store: sqliteStore({ path: ':memory:' }), dispatcher })).toThrow(
      'dispatcher.launcher.engine must be the name of its engine',
    )
  }
})
