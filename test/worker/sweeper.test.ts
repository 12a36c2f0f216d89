import { spawnSync } from 'node:child_process'
import { expect, vi } from 'vitest'
import { defineOperation, handler } from 'waybill'
import type { Store } from '../../src/stores/store.ts'
import { hostId } from '../../src/util/host-id.ts'
import { Sweeper } from '../../src/worker/sweeper.ts'
import { submissionOf } from '../support/submission.ts'
import {
  faultyStore,
  hasFinished,
  hasStatus,
  KeptLog,
  recordOf,
  submit,
  test,
  until,
  when,
} from '../support/waybill.ts'

const tasks = defineOperation({ name: 'tasks' })

async function claimAs(store: Store, id: string, holder: string, leaseMs = 3_600_000): Promise<void> {
  const claims = await store.claim({ holder, leaseMs, execution: null, from: { id } })
  expect(claims).toHaveLength(1)
}

test('a lease that runs out returns the operation to the queue, counted as lost', async ({ lab }) => {
  const waybill = await lab.waybill([tasks])
  const id = await submit(waybill, tasks)
  await claimAs(waybill.store, id, 'elsewhere/1/x', 100)
  const { lost, history, attempt } = await hasStatus(waybill.store, id, 'pending')
  expect({ lost, attempt }).toEqual({ lost: 1, attempt: 1 })
  expect(history).toMatchObject([{ number: 1, outcome: 'lost', error: { code: 'worker-lost' } }])
})

test('an operation whose attempts are lost too often fails as worker-lost', async ({ lab }) => {
  const doomed = defineOperation({ name: 'doomed', lostAttempts: 1 })
  const waybill = await lab.waybill([doomed])
  const id = await submit(waybill, doomed)
  for (const attempt of [1, 2]) {
    await claimAs(waybill.store, id, 'elsewhere/1/x', 50)
    await when(waybill.store, id, operation => operation.lost === attempt)
  }
  const { status, error } = await recordOf(waybill.store, id)
  expect({ status, code: error?.code }).toEqual({ status: 'failed', code: 'worker-lost' })
})

test('a dead worker process of this machine is noticed long before its lease expires', async ({ lab }) => {
  const waybill = await lab.waybill([tasks])
  const { pid } = spawnSync(process.execPath, ['--version'])
  const id = await submit(waybill, tasks)
  await claimAs(waybill.store, id, `${hostId}/${pid}/x`)
  const { history } = await hasStatus(waybill.store, id, 'pending')
  expect(history[0]?.error?.detail).toContain(`process ${hostId}/${pid}/x, is gone`)
})

test('a process is checked once in a sweep, however many operations it runs', async ({ lab }) => {
  const store = await lab.store()
  const types = [{ type: 'tasks', limit: 300 }]
  await Promise.all(
    Array.from({ length: 300 }, () => store.accept({ ...submissionOf(crypto.randomUUID()), type: 'tasks' })),
  )
  const holder = `${hostId}/${process.pid}/x`
  const claims = await store.claim({ holder, leaseMs: 3_600_000, execution: null, from: { types, limit: 300 } })
  expect(claims).toHaveLength(300)
  const { promise: swept, resolve } = Promise.withResolvers<void>()
  const counting = new Proxy(store, {
    get: (target, name) => {
      if (name === 'sweep') resolve()
      return Reflect.get(target, name).bind(target)
    },
  })
  const asked = vi.spyOn(process, 'kill')
  const sweeper = new Sweeper({ store: counting, everyMs: 3_600_000, logger: new KeptLog() })
  sweeper.start()
  await swept
  await sweeper.stop()
  expect(asked.mock.calls.filter(([pid, signal]) => pid === process.pid && signal === 0)).toHaveLength(1)
  asked.mockRestore()
})

test('living workers, workers of other machines and unknown names are left to their leases', async ({ lab }) => {
  const waybill = await lab.waybill([tasks])
  const holders = [`${hostId}/${process.pid}/x`, 'elsewhere/999999/x', hostId, `${hostId}/x/y`, '']
  const ids = await Promise.all(holders.map(() => submit(waybill, tasks)))
  for (const [index, id] of ids.entries()) await claimAs(waybill.store, id, holders[index] ?? '')
  const dead = await submit(waybill, tasks)
  const { pid } = spawnSync(process.execPath, ['--version'])
  await claimAs(waybill.store, dead, `${hostId}/${pid}/x`)
  await hasStatus(waybill.store, dead, 'pending')
  for (const id of ids) expect((await recordOf(waybill.store, id)).status).toBe('running')
})

test('a start deadline that passes fails the operation', async ({ lab }) => {
  const urgent = defineOperation({ name: 'urgent', startDeadline: 50 })
  const waybill = await lab.waybill([urgent])
  const { status, error } = await hasFinished(waybill.store, await submit(waybill, urgent))
  expect({ status, code: error?.code, http: error?.status }).toEqual({
    status: 'failed',
    code: 'start-deadline',
    http: 504,
  })
})

test('operations past their retention are purged in batches, however many they are', async ({ lab }) => {
  const brief = defineOperation({ name: 'brief', retention: 0 })
  const logger = new KeptLog()
  const { store, calls } = faultyStore(await lab.store())
  const worker = { handlers: handler(brief, () => 'gone soon'), concurrency: 100 }
  const waybill = await lab.waybill([brief], { store, logger, worker, sweepInterval: '1h' })
  const ids = await Promise.all(Array.from({ length: 450 }, () => submit(waybill, brief)))
  await Promise.all(ids.map(id => hasFinished(store, id)))
  const swept = calls.get('sweep') ?? 0
  await lab.waybill([brief], { store, sweepInterval: '1h' })
  for (const id of ids) await when(store, id, operation => operation.purged)
  expect((calls.get('sweep') ?? 0) - swept).toBeGreaterThanOrEqual(3)
  expect(await store.readPayload(ids[0] ?? '', 'output')).toBeUndefined()
  await expect(waybill.operations.find(ids[0] ?? '', '')).rejects.toMatchObject({
    problem: { code: 'operation-expired' },
  })
})

test('a sweep that fails is reported and repeated', async ({ lab }) => {
  const logger = new KeptLog()
  const { store, cut } = faultyStore(await lab.store())
  const waybill = await lab.waybill([tasks], { store, logger })
  const id = await submit(waybill, tasks)
  cut.add('sweep')
  await claimAs(store, id, 'elsewhere/1/x', 10)
  await until(() => logger.lines.some(({ message }) => message === 'The sweep failed; will retry'))
  cut.clear()
  await hasStatus(store, id, 'pending')
})

test('a large fleet checks the holders of leases as often as a small one', async ({ lab }) => {
  const { store, calls } = faultyStore(await lab.store())
  const fleet = async () => Array.from({ length: 40 }, (_, n) => `elsewhere/${n}/x`)
  const asked = new Proxy(store, {
    get: (target, name) => (name === 'holders' ? () => target.holders().then(fleet) : Reflect.get(target, name)),
  })
  const sweeper = new Sweeper({ store: asked, everyMs: 1, logger: new KeptLog() })
  sweeper.start()
  lab.onEnd(() => sweeper.stop())
  await until(() => (calls.get('sweep') ?? 0) >= 11)
  await sweeper.stop()
  const sweeps = calls.get('sweep') ?? 0
  expect(calls.get('holders')).toBe(Math.ceil(sweeps / 5))
})
