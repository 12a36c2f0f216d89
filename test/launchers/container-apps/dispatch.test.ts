/** The dispatcher with Azure Container Apps: what it notices of executions, and how cancels and failures end. */
import { describe, expect } from 'vitest'
import type { EmulateAzureOptions, EmulatedAzure, Execution } from 'waybill/emulators/azure'
import type { ContainerAppsJobOptions } from 'waybill/launchers/container-apps'
import { sqliteStore } from 'waybill/stores/sqlite'
import type { AnyOperationType } from '../../../src/model/operation-type.ts'
import type { DispatcherOptions, Waybill } from '../../../src/waybill.ts'
import { azureOf, countOf, failFirst, JOB, launcherOf } from '../../support/azure.ts'
import { type Act, play, plays } from '../../support/handlers.ts'
import { atLength, onlyLong } from '../../support/length.ts'
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
} from '../../support/waybill.ts'

const type = plays({ attempts: 2 })
const RETURN: Act = { do: 'return', value: 'done' }

interface Setup {
  readonly azure?: Partial<EmulateAzureOptions>
  readonly launcher?: Partial<ContainerAppsJobOptions>
  readonly dispatcher?: Partial<DispatcherOptions>
  readonly types?: readonly AnyOperationType[]
  /** Of the job's worker. By default nothing is ever noticed by a lease. */
  readonly leaseDuration?: string
  /** Of the job's worker: how long a handler may ignore a cancel. */
  readonly gracePeriod?: string
  readonly sweep?: number
}

/** A composition whose work is done by executions on an emulated azure. */
async function composed(lab: TestContext, setup: Setup = {}): Promise<{ azure: EmulatedAzure; waybill: Waybill }> {
  const path = lab.file()
  const azure = await azureOf(lab, new URL('../../fixtures/job.ts', import.meta.url), {
    env: {
      TEST_STORE: path,
      TEST_WORKER: JSON.stringify({
        leaseDuration: setup.leaseDuration ?? '1h',
        gracePeriod: setup.gracePeriod ?? 100,
      }),
    },
    gracePeriod: 300,
    ...setup.azure,
  })
  const { launcher } = launcherOf(lab, azure, setup.launcher)
  const dispatcher = { launcher, pollInterval: 50, reconcileInterval: 100, ...setup.dispatcher }
  const store = sqliteStore({ path, synchronous: 'NORMAL' })
  const waybill = await lab.waybill(setup.types ?? [type], { store, sweepInterval: setup.sweep ?? '1h', dispatcher })
  return { azure, waybill }
}

/** Submits an operation, and waits until its handler is at work in an execution. */
async function atWork(lab: TestContext, acts: Act[], setup?: Setup) {
  const { azure, waybill } = await composed(lab, setup)
  const id = await submit(waybill, type, play(...acts))
  await until(async () => (await logOf(waybill.store, id)).length > 0)
  const [execution] = azure.executions
  if (execution === undefined) throw new Error('There is no execution.')
  return { azure, waybill, id, execution }
}

describe('an execution', () => {
  test('runs the operation, and the history has its name', async ({ lab }) => {
    const { azure, waybill } = await composed(lab)
    const id = await submit(waybill, type, play(RETURN))
    expect(await resultOf(waybill.store, id)).toBe('done')
    const { history, attempt } = await recordOf(waybill.store, id)
    expect({ attempt, execution: history[0]?.execution }).toEqual({ attempt: 1, execution: azure.executions[0]?.name })
    expect(azure.executions[0]?.variable('WAYBILL_OPERATION_ID')).toBe(id)
  })

  const ENDS: readonly (readonly [string, (execution: Execution) => void, RegExp])[] = [
    ['killed', execution => execution.kill(), /is Failed \(BackoffLimitExceeded.*exit code 137/],
    ['stopped by someone, without a hand-back', execution => execution.stop(), /is Stopped/],
    ['deleted', execution => execution.vanish(), /is unknown to Azure Container Apps/],
  ]
  test.for(ENDS.slice(0, atLength(1, undefined)))(
    'that was %s is noticed by the state of the engine',
    async ([, end, reason], { lab }) => {
      const { waybill, id, execution } = await atWork(lab, [{ do: 'ignore' }, RETURN])
      end(execution)
      expect(await resultOf(waybill.store, id)).toBe('done')
      const { history, lost } = await recordOf(waybill.store, id)
      expect(lost).toBe(1)
      expect(history[0]).toMatchObject({ number: 1, outcome: 'lost', execution: execution.name })
      expect(history[0]?.error?.detail).toMatch(reason)
    },
  )

  test('that hangs is noticed by its lease, even if the engine reports it as running', async ({ lab }) => {
    const { waybill, id, execution } = await atWork(lab, [{ do: 'ignore' }, RETURN], {
      leaseDuration: '3s',
      sweep: 100,
    })
    // One that hangs: a process of this machine that is gone would be noticed by its id.
    execution.kill('SIGSTOP')
    expect(await resultOf(waybill.store, id)).toBe('done')
    const { history } = await recordOf(waybill.store, id)
    expect(history[0]).toMatchObject({
      outcome: 'lost',
      error: { detail: expect.stringContaining('Its lease ran out.') },
    })
    expect(execution.status).toBe('Running')
  })

  test('that is asked to stop hands its work back, and the next one does it', async ({ lab }) => {
    const { waybill, id, execution } = await atWork(lab, [{ do: 'wait' }, RETURN], { azure: { gracePeriod: '30s' } })
    execution.stop()
    expect(await resultOf(waybill.store, id)).toBe('done')
    const { history } = await recordOf(waybill.store, id)
    expect(history.map(({ outcome }) => outcome)).toEqual(['released', 'completed'])
  })

  onlyLong(() => {
    test('that was acknowledged but never made is noticed, and another one is started', async ({ lab }) => {
      const { azure, waybill } = await composed(lab)
      failFirst(azure, 'start', { acts: 0 })
      const id = await submit(waybill, type, play(RETURN))
      expect(await resultOf(waybill.store, id)).toBe('done')
      expect(await recordOf(waybill.store, id)).toMatchObject({ attempt: 1, lost: 0 })
      expect(azure.executions).toHaveLength(2)
    })

    test('that never claims is replaced up to a limit', async ({ lab }) => {
      const stubborn = plays({ lostAttempts: 1 })
      const { azure, waybill } = await composed(lab, { types: [stubborn] })
      azure.job(JOB).template = {
        containers: [{ name: 'main', image: 'a', command: ['node', '-e', 'process.exit(78)'] }],
      }
      const { status, error, attempt } = await hasFinished(waybill.store, await submit(waybill, stubborn))
      expect({ status, code: error?.code, attempt }).toEqual({ status: 'failed', code: 'launch-lost', attempt: 0 })
      expect(error?.detail).toContain('exit code 78 of main')
      expect(azure.executions).toHaveLength(2)
    })
  })()
})

describe('a cancel', () => {
  test('stops the execution while it works', async ({ lab }) => {
    const { azure, waybill, id, execution } = await atWork(lab, [{ do: 'linger', ms: 50 }])
    await waybill.operations.cancel(id, '')
    await until(() => countOf(azure, 'stop') > 0)
    await hasFinished(waybill.store, id)
    expect(azure.requests.find(({ kind }) => kind === 'stop')?.url).toContain(`/executions/${execution.name}/stop?`)
  })

  test('stops an execution before it has come up', async ({ lab }) => {
    const { azure, waybill } = await composed(lab, { azure: { coldStart: 60_000 } })
    const id = await submit(waybill, type, play(RETURN))
    await until(async () => (await recordOf(waybill.store, id)).execution !== null)
    await waybill.operations.cancel(id, '')
    await until(() => azure.executions[0]?.status === 'Stopped')
    await hasStatus(waybill.store, id, 'canceled')
  })

  onlyLong(() => {
    test('is repeated if the engine refuses to stop the execution at first', async ({ lab }) => {
      // Only the engine ends it: its own worker, which learns of the cancel as well, would leave the handler behind.
      const { azure, waybill, id, execution } = await atWork(lab, [{ do: 'ignore' }], { gracePeriod: '1h' })
      failFirst(azure, 'stop', { answer: { status: 409 } })
      await waybill.operations.cancel(id, '')
      await until(() => execution.status === 'Stopped')
      await hasStatus(waybill.store, id, 'canceled')
    })
  })()
})

describe('an Azure Resource Manager', () => {
  onlyLong(() => {
    test('that throttles is called again after its Retry-After, and the order is unchanged', async ({ lab }) => {
      const { azure, waybill } = await composed(lab, { types: [plays({ lostAttempts: 0 })] })
      failFirst(azure, 'start', { answer: { status: 429, headers: { 'retry-after': '1' } } }, 3)
      const id = await submit(waybill, type, play(RETURN))
      expect(await resultOf(waybill.store, id)).toBe('done')
      expect(await recordOf(waybill.store, id)).toMatchObject({ attempt: 1, lost: 0, launches: 0 })
      const at = azure.requests.filter(({ kind }) => kind === 'start').map(it => it.at)
      expect(at).toHaveLength(4)
      for (const [index, time] of at.slice(1).entries()) expect(time - (at[index] ?? 0)).toBeGreaterThan(990)
    })
  })()

  test('that is unreachable prevents no accepts, and is used when it is back', async ({ lab }) => {
    const { azure, waybill } = await composed(lab, { launcher: { requestTimeout: 300 } })
    azure.fail(() => ({ answer: 'cut' }))
    const ids = [await submit(waybill, type, play(RETURN)), await submit(waybill, type, play(RETURN))]
    await until(() => countOf(azure, 'job') > 1)
    for (const id of ids) expect(await recordOf(waybill.store, id)).toMatchObject({ status: 'pending', attempt: 0 })
    azure.fail(undefined)
    for (const id of ids) expect(await resultOf(waybill.store, id)).toBe('done')
  })

  test('that makes every start twice runs each operation once', async ({ lab }) => {
    const { azure, waybill } = await composed(lab)
    azure.fail(({ kind }) => (kind === 'start' ? { acts: 2 } : undefined))
    const id = await submit(waybill, type, play(RETURN))
    expect(await resultOf(waybill.store, id)).toBe('done')
    await Promise.all(azure.executions.map(({ end }) => end))
    expect(azure.executions.map(({ code }) => code)).toEqual([0, 0])
    expect(await logOf(waybill.store, id)).toHaveLength(1)
  })
})
