/** Orders on Kubernetes from end to end: HTTP, the store, the dispatcher, the real client, a Job, its process. */
import fastify from 'fastify'
import { describe, expect } from 'vitest'
import type { KubernetesEmulator } from 'waybill/emulators/kubernetes'
import { waybill as plugin } from 'waybill/fastify'
import { sqliteStore } from 'waybill/stores/sqlite'
import type { AnyOperationType } from '../../../src/model/operation-type.ts'
import type { DispatcherOptions, Waybill } from '../../../src/waybill.ts'
import { play, plays } from '../../support/handlers.ts'
import { clientOf, clusterOf, IMAGE, jobImage, type LauncherSetup, launcherOn } from '../../support/kubernetes.ts'
import { onlyLong } from '../../support/length.ts'
import {
  hasFinished,
  logOf,
  recordOf,
  resultOf,
  SILENT,
  submit,
  type TestContext,
  test,
  until,
} from '../../support/waybill.ts'

const type = plays({ attempts: 2, timeout: '1h' })

interface Init extends Partial<Omit<DispatcherOptions, 'launcher'>> {
  readonly launcher?: LauncherSetup
  readonly type?: AnyOperationType
}

/** A composition whose work Jobs do. Nothing is swept: what is noticed, the dispatcher has noticed. */
async function onKubernetes(
  lab: TestContext,
  emulator: KubernetesEmulator,
  path: string,
  init: Init = {},
): Promise<Waybill> {
  const { launcher = {}, type: served = type, ...dispatcher } = init
  return await lab.waybill([served], {
    store: sqliteStore({ path, synchronous: 'NORMAL' }),
    sweepInterval: '1h',
    dispatcher: { pollInterval: 50, reconcileInterval: 100, ...dispatcher, launcher: launcherOn(emulator, launcher) },
  })
}

/** The Job that has the operation, once its handler runs. */
async function runningJob(waybill: Waybill, id: string): Promise<string> {
  await until(async () => (await logOf(waybill.store, id)).length > 0)
  return (await recordOf(waybill.store, id)).execution ?? ''
}

test('an order goes by POST, a Job and a process to 303 and its result', async ({ lab }) => {
  const path = lab.file()
  const emulator = await clusterOf(lab, path)
  const app = fastify()
  lab.onEnd(() => app.close())
  const dispatcher = { launcher: launcherOn(emulator), pollInterval: 50 }
  await app.register(plugin, { operations: [type], store: sqliteStore({ path }), logger: SILENT, dispatcher })
  const accepted = await app.inject({ method: 'POST', url: '/plays', payload: play({ do: 'return', value: 'packed' }) })
  expect(accepted.statusCode).toBe(202)
  const url = String(accepted.headers.location)
  await until(async () => (await app.inject(url)).statusCode === 303)
  const done = await app.inject(url)
  const result = await app.inject(String(done.headers.location))
  expect(result.statusCode).toBe(200)
  expect(result.json()).toMatchObject({ status: 'completed', result: 'packed' })
  const id = accepted.json<{ id: string }>().id
  await until(async () => {
    const job = await clientOf(emulator).api.readNamespacedJob({ namespace: 'default', name: `plays-${id}-0-1` })
    return job.status?.conditions?.some(it => it.type === 'Complete')
  })
  expect(emulator.requests.filter(({ verb }) => verb === 'create')).toHaveLength(1)
})

onlyLong(() => {
  test('an operation has one Job for each attempt, and its history has their names', async ({ lab }) => {
    const path = lab.file()
    const emulator = await clusterOf(lab, path)
    const waybill = await onKubernetes(lab, emulator, path)
    const id = await submit(waybill, type, play({ do: 'throw', message: 'once' }, { do: 'return', value: 'twice' }))
    expect(await resultOf(waybill.store, id)).toBe('twice')
    const { history } = await recordOf(waybill.store, id)
    expect(history.map(({ execution }) => execution)).toEqual([`plays-${id}-0-1`, `plays-${id}-1-1`])
  })
})()

describe('an execution that', () => {
  test('is killed is noticed by the condition of its Job, which has the exit code', async ({ lab }) => {
    const path = lab.file()
    const emulator = await clusterOf(lab, path, {}, { leaseDuration: '1h' })
    const waybill = await onKubernetes(lab, emulator, path)
    const id = await submit(waybill, type, play({ do: 'wait' }, { do: 'return', value: 'again' }))
    emulator.kill(await runningJob(waybill, id))
    expect(await resultOf(waybill.store, id)).toBe('again')
    const { history, lost } = await recordOf(waybill.store, id)
    expect(lost).toBe(1)
    expect(history[0]).toMatchObject({ outcome: 'lost', error: { code: 'worker-lost' } })
    expect(history[0]?.error?.detail).toMatch(/^Its Job failed: PodFailurePolicy, Container job .* exit code 137 /)
  })

  onlyLong(() => {
    test('is deleted without a watch event is noticed by its absence', async ({ lab }) => {
      const path = lab.file()
      const emulator = await clusterOf(lab, path, {}, { leaseDuration: '1h' })
      const waybill = await onKubernetes(lab, emulator, path)
      const id = await submit(waybill, type, play({ do: 'ignore' }, { do: 'return', value: 'again' }))
      await until(async () => (await recordOf(waybill.store, id)).status === 'running')
      const { execution } = await recordOf(waybill.store, id)
      emulator.kill(execution ?? '', 'SIGSTOP')
      const { api } = clientOf(emulator)
      const request = { namespace: 'default', name: execution ?? '', propagationPolicy: 'Background' }
      await api.deleteNamespacedJob(request)
      expect(await resultOf(waybill.store, id)).toBe('again')
      const { history } = await recordOf(waybill.store, id)
      expect(history[0]?.error?.detail).toContain(`There is no Job ${execution}: it was deleted.`)
    })

    test('never starts because its image cannot be pulled is replaced', async ({ lab }) => {
      const path = lab.file()
      const emulator = await clusterOf(lab, path, { images: {} })
      const waybill = await onKubernetes(lab, emulator, path, { launcher: { startupTimeout: '1s' } })
      const id = await submit(waybill, type, play({ do: 'return', value: 'at last' }))
      await until(async () => (await recordOf(waybill.store, id)).launches > 1)
      expect(emulator.jobs().map(({ metadata }) => metadata.name)).not.toContain(`plays-${id}-0-1`)
      emulator.provide(IMAGE, jobImage(path))
      expect(await resultOf(waybill.store, id)).toBe('at last')
      expect(await recordOf(waybill.store, id)).toMatchObject({ attempt: 1, lost: 0 })
    })

    test('never starts fails its operation after the limit of launches, with the reason', async ({ lab }) => {
      const path = lab.file()
      const emulator = await clusterOf(lab, path, { images: {} })
      const stubborn = plays({ lostAttempts: 1 })
      const waybill = await onKubernetes(lab, emulator, path, { type: stubborn, launcher: { startupTimeout: '1s' } })
      const { error, status } = await hasFinished(waybill.store, await submit(waybill, stubborn))
      expect({ status, code: error?.code }).toEqual({ status: 'failed', code: 'launch-lost' })
      expect(error?.detail).toContain('Its pod did not start within 1 s.')
      expect(emulator.jobs()).toEqual([])
      expect(emulator.requests.filter(({ verb }) => verb === 'create')).toHaveLength(2)
    })

    test('hangs while the engine reports it as running is noticed by its lease', async ({ lab }) => {
      const path = lab.file()
      const emulator = await clusterOf(lab, path, {}, { leaseDuration: '3s' })
      const store = sqliteStore({ path, synchronous: 'NORMAL' })
      const dispatcher = { pollInterval: 50, reconcileInterval: 100, launcher: launcherOn(emulator) }
      const waybill = await lab.waybill([type], { store, sweepInterval: 100, dispatcher })
      const id = await submit(waybill, type, play({ do: 'wait' }, { do: 'return', value: 'again' }))
      const job = await runningJob(waybill, id)
      emulator.freeze()
      emulator.kill(job, 'SIGSTOP')
      expect(await resultOf(waybill.store, id)).toBe('again')
      expect((await recordOf(waybill.store, id)).history[0]?.error?.detail).toContain('Its lease ran out.')
      expect(emulator.jobs().find(it => it.metadata.name === job)?.status).toMatchObject({ active: 1 })
    })

    test('is reported by a watch is noticed without an inspection', async ({ lab }) => {
      const path = lab.file()
      const emulator = await clusterOf(lab, path, {}, { leaseDuration: '1h' })
      const { api, watch } = clientOf(emulator)
      const waybill = await onKubernetes(lab, emulator, path, { launcher: { api, watch }, reconcileInterval: '1h' })
      const id = await submit(waybill, type, play({ do: 'wait' }, { do: 'return', value: 'again' }))
      emulator.kill(await runningJob(waybill, id))
      expect(await resultOf(waybill.store, id)).toBe('again')
      expect((await recordOf(waybill.store, id)).lost).toBe(1)
    })
  })()
})

test('a cancel deletes the Job, which stays until its process has ended', async ({ lab }) => {
  const path = lab.file()
  const emulator = await clusterOf(lab, path)
  const waybill = await onKubernetes(lab, emulator, path, { reconcileInterval: '1h' })
  // Long enough for the Job to be deleted before its process has ended by itself.
  const id = await submit(waybill, type, play({ do: 'linger', ms: 2000 }))
  const job = await runningJob(waybill, id)
  await waybill.operations.cancel(id, '')
  await hasFinished(waybill.store, id)
  await until(() => emulator.jobs().every(({ metadata }) => metadata.name !== job))
  const deletions = emulator.requests.filter(({ verb }) => verb === 'delete')
  expect(deletions.map(({ name, query }) => `${name} ${query}`)).toEqual([`${job} propagationPolicy=Foreground`])
  expect(await recordOf(waybill.store, id)).toMatchObject({ lost: 0 })
})

onlyLong(() => {
  test('a deleted Job hands its work back, and the next one continues it', async ({ lab }) => {
    const path = lab.file()
    const emulator = await clusterOf(lab, path, { secondDuration: 1000 })
    const waybill = await onKubernetes(lab, emulator, path)
    const id = await submit(waybill, type, play({ do: 'wait' }, { do: 'return', value: 'moved' }))
    await launcherOn(emulator).stop(await runningJob(waybill, id))
    expect(await resultOf(waybill.store, id)).toBe('moved')
    const { history } = await recordOf(waybill.store, id)
    expect(history.map(({ outcome }) => outcome)).toEqual(['released', 'completed'])
  })
})()

test('operations beyond a quota wait, and run in their turn', async ({ lab }) => {
  const path = lab.file()
  const emulator = await clusterOf(lab, path, { quota: 0 })
  const waybill = await onKubernetes(lab, emulator, path)
  const id = await submit(waybill, type, play({ do: 'return' }))
  await until(() => emulator.requests.some(({ status }) => status === 403))
  await until(async () => (await recordOf(waybill.store, id)).launches === 0)
  expect(await recordOf(waybill.store, id)).toMatchObject({ status: 'pending', attempt: 0, execution: null })
})

test('a start whose responses are all lost creates only one Job', async ({ lab }) => {
  const path = lab.file()
  const emulator = await clusterOf(lab, path)
  const waybill = await onKubernetes(lab, emulator, path, { claimTimeout: '1h' })
  emulator.fail({ verb: 'create', when: 'after', answer: 'cut' })
  emulator.fail({ verb: 'get', answer: 'cut' })
  const id = await submit(waybill, type, play({ do: 'return', value: 'once' }))
  expect(await resultOf(waybill.store, id)).toBe('once')
  expect(emulator.jobs()).toHaveLength(1)
  expect(await recordOf(waybill.store, id)).toMatchObject({ attempt: 1, lost: 0 })
})
