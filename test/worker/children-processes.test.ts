import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { describe, expect } from 'vitest'
import { sqliteStore } from 'waybill/stores/sqlite'
import type { Waybill } from '../../src/waybill.ts'
import { isGone, pidOf, programOf, worker } from '../support/children.ts'
import { type Act, type Ending, handlerFile, play, plays } from '../support/handlers.ts'
import { atLength, onlyLong } from '../support/length.ts'
import { controlTimeouts, LONG_MS } from '../support/timeouts.ts'
import {
  hasFinished,
  hasStatus,
  recordOf,
  resultOf,
  submit,
  type TestContext,
  test,
  until,
  when,
} from '../support/waybill.ts'

const type = plays({ attempts: 2 })

async function perform(waybill: Waybill, ...acts: Act[]): Promise<string> {
  return await submit(waybill, type, play(...acts))
}

/** A worker in a process of its own on a file, whose standard error nobody reads yet. */
async function workerProcess(lab: TestContext, path: string) {
  const program = new URL('../fixtures/worker-process.ts', import.meta.url).pathname
  const process = spawn(globalThis.process.execPath, [program, path, '2'], {
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  })
  lab.onEnd(() => process.kill('SIGKILL'))
  await once(process, 'message')
  return process
}

describe('the processes of a handler end with its child', () => {
  test('after a cancel', async ({ lab }) => {
    const waybill = await lab.waybill([type], worker({ gracePeriod: 100 }))
    const id = await perform(waybill, { do: 'start-program' })
    const program = await programOf(waybill, id)
    expect(isGone(program)).toBe(false)
    await waybill.operations.cancel(id, '')
    await hasStatus(waybill.store, id, 'canceled')
    await until(() => isGone(program))
  })

  onlyLong(test)('after a timeout', async ({ lab }) => {
    const advance = controlTimeouts(lab)
    const hasty = plays({ attempts: 1, timeout: LONG_MS })
    const waybill = await lab.waybill([hasty], worker({ gracePeriod: 100 }))
    const id = await submit(waybill, hasty, play({ do: 'start-program' }))
    const program = await programOf(waybill, id)
    advance(LONG_MS)
    await hasStatus(waybill.store, id, 'failed')
    await until(() => isGone(program))
  })

  test('after a crash of the child, and after a crash of its worker', async ({ lab }) => {
    const path = lab.file()
    const parent = await workerProcess(lab, path)
    const waybill = await lab.waybill([type], { store: sqliteStore({ path }) })
    const crashed = await perform(waybill, { do: 'start-program' })
    const program = await programOf(waybill, crashed)
    process.kill(await pidOf(waybill, crashed), 'SIGKILL')
    await until(() => isGone(program))

    const orphaned = await perform(waybill, { do: 'start-program' })
    const [child, orphan] = [await pidOf(waybill, orphaned), await programOf(waybill, orphaned)]
    parent.kill('SIGKILL')
    await until(() => isGone(child) && isGone(orphan))
  })

  onlyLong(test)('when the composition stops', async ({ lab }) => {
    const waybill = await lab.waybill([type], worker({ shutdownTimeout: 100 }))
    const program = await programOf(waybill, await perform(waybill, { do: 'start-program' }))
    await waybill.stop()
    await until(() => isGone(program))
  })
})

const single = plays({ attempts: 1 })

describe('a run that a child has not begun', () => {
  /** A child that takes what it is sent, and does nothing about it. */
  async function frozen(waybill: Waybill): Promise<number> {
    const pid = Number(await resultOf(waybill.store, await submit(waybill, single, play({ do: 'pid' }))))
    process.kill(pid, 'SIGSTOP')
    return pid
  }

  test('moves to another child when the first one dies, and does not count', async ({ lab }) => {
    const waybill = await lab.waybill([single], worker())
    const pid = await frozen(waybill)
    const id = await submit(waybill, single, play({ do: 'pid' }))
    await hasStatus(waybill.store, id, 'running')
    process.kill(pid, 'SIGKILL')
    expect(await resultOf(waybill.store, id)).not.toBe(pid)
    expect(await recordOf(waybill.store, id)).toMatchObject({ attempt: 1, lost: 0, released: 0 })
  })

  test('is lost when a second child dies as well, since the run may be the reason', async ({ lab }) => {
    const waybill = await lab.waybill([single], worker({ handlers: handlerFile('deaf') }))
    const id = await submit(waybill, single, play({ do: 'return', value: 'never' }))
    const { history, released } = await when(waybill.store, id, ({ lost }) => lost >= 2)
    expect(released).toBe(0)
    expect(history.slice(0, 2)).toMatchObject([{ outcome: 'lost' }, { outcome: 'lost' }])
  })

  test('is handed back after its timeout, and its child is ended', async ({ lab }) => {
    const advance = controlTimeouts(lab)
    const hasty = plays({ attempts: 1, timeout: LONG_MS })
    const waybill = await lab.waybill([hasty], worker({ gracePeriod: 100 }))
    const pid = await frozen(waybill)
    const id = await submit(waybill, hasty, play({ do: 'pid' }))
    await hasStatus(waybill.store, id, 'running')
    advance(LONG_MS)
    expect(await resultOf(waybill.store, id)).not.toBe(pid)
    expect(await recordOf(waybill.store, id)).toMatchObject({ attempt: 2, lost: 0, released: 1 })
    await until(() => isGone(pid))
  })
})

describe('code that an earlier attempt has left behind', () => {
  const ENDINGS: Ending[] = ['throw', 'reject', 'exit']
  for (const what of ENDINGS.slice(0, atLength(1, undefined))) {
    test(`and that ends the process (${what}) loses the current attempt, and fails none`, async ({ lab }) => {
      const waybill = await lab.waybill([single], worker())
      const first = await resultOf(waybill.store, await submit(waybill, single, play({ do: 'leave', what })))
      const id = await submit(waybill, single, play({ do: 'trip' }, { do: 'pid' }))
      expect(await resultOf(waybill.store, id)).not.toBe(first)
      const { attempt, lost, history } = await recordOf(waybill.store, id)
      expect({ attempt, lost }).toEqual({ attempt: 2, lost: 1 })
      expect(history[0]).toMatchObject({ outcome: 'lost', error: { code: 'worker-lost' } })
      expect(history[0]?.error?.detail).toContain('left running by another attempt')
    })

    test(`is distinguished from code of the current attempt (${what}), which fails the attempt`, async ({ lab }) => {
      const waybill = await lab.waybill([single], worker())
      const id = await submit(waybill, single, play({ do: 'end-later', what }))
      const { status, error, lost } = await hasFinished(waybill.store, id)
      expect({ status, code: error?.code, lost }).toEqual({ status: 'failed', code: 'worker-lost', lost: 0 })
      const uncaught = { message: expect.stringContaining('outside'), stack: expect.stringContaining('plays') }
      expect(await waybill.store.errors(id)).toMatchObject(what === 'exit' ? [] : [{ attempt: 1, error: uncaught }])
    })
  }

  test('does not exist if each attempt has a new child', async ({ lab }) => {
    const waybill = await lab.waybill([single], worker({ maxAttemptsPerChild: 1 }))
    const first = await resultOf(waybill.store, await submit(waybill, single, play({ do: 'leave', what: 'throw' })))
    const second = await resultOf(waybill.store, await submit(waybill, single, play({ do: 'pid' })))
    expect(second).not.toBe(first)
    await until(() => isGone(Number(first)))
    expect(() => lab.composition([single], worker({ maxAttemptsPerChild: 0 }))).toThrow(
      'worker.maxAttemptsPerChild must be a whole number',
    )
  })
})

onlyLong(test)(
  'a child that writes much to standard error is slowed down, and its worker buffers nothing',
  async ({ lab }) => {
    const path = lab.file()
    const parent = await workerProcess(lab, path)
    const waybill = await lab.waybill([type], { store: sqliteStore({ path }) })
    const mib = 64
    const flood = await perform(waybill, { do: 'flood', mib })
    await when(waybill.store, flood, ({ progress }) => (progress?.fraction ?? 0) > 0)
    await resultOf(waybill.store, await perform(waybill, { do: 'block', ms: 3000 }))
    const { progress, status } = await recordOf(waybill.store, flood)
    expect({ status, stands: (progress?.fraction ?? 1) < 0.5 }).toEqual({ status: 'running', stands: true })
    let read = 0
    parent.stderr?.on('data', (data: Buffer) => {
      read += data.length
    })
    expect(await resultOf(waybill.store, flood)).toBe('flooded')
    await until(() => read >= mib * 2 ** 20)
  },
)
