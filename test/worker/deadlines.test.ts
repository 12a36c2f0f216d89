/** The deadline of a whole operation, from where its handler runs to where nobody does. */
import { describe, expect } from 'vitest'
import { defineOperation, handler } from 'waybill'
import { runOperation } from 'waybill/job'
import { sqliteStore } from 'waybill/stores/sqlite'
import { manualClock, testWaybill } from 'waybill/testing'
import type { AnyOperationType } from '../../src/model/operation-type.ts'
import { worker } from '../support/children.ts'
import { play, plays } from '../support/handlers.ts'
import { controlTimeouts, LONG_MS } from '../support/timeouts.ts'
import { hasFinished, logOf, recordOf, SILENT, submit, type TestContext, test, until } from '../support/waybill.ts'

const HOUR = 3_600_000
const OVER = { status: 'failed', error: { code: 'deadline-exceeded', status: 504 } }
const reports = defineOperation({ name: 'reports', deadline: '1h' })
const acts = plays({ attempts: 3, deadline: '1h' })

/** An operation that is claimed shortly before its deadline: by the store's clock, which then stands still. */
async function nearlyOver(lab: TestContext, type: AnyOperationType, input: unknown, left = 100) {
  const clock = manualClock()
  const path = lab.file()
  const open = () => sqliteStore({ path, clock: clock.now, monotonicClock: clock.monotonic })
  const store = open()
  await store.open()
  lab.onEnd(() => store.close())
  const id = await submit(lab.composition([type], { store }), type, input)
  clock.advance(HOUR - left)
  return { store, id, open }
}

describe('a deadline that passes while the handler runs', () => {
  test('stops a handler of the same process, and ends the operation whatever attempts are left', async ({ lab }) => {
    const advance = controlTimeouts(lab)
    const { store, id } = await nearlyOver(lab, reports, null, LONG_MS)
    const begun = Promise.withResolvers<void>()
    const reasons: unknown[] = []
    const handlers = handler(reports, async (_, { signal }) => {
      begun.resolve()
      await new Promise(resolve => signal.addEventListener('abort', resolve, { once: true }))
      reasons.push(signal.reason.name, signal.reason.message)
      throw signal.reason
    })
    await lab.waybill([reports], { store, worker: { handlers } })
    await begun.promise
    advance(LONG_MS)
    expect(await hasFinished(store, id)).toMatchObject({ ...OVER, attempt: 1, history: [{ outcome: 'failed' }] })
    expect(reasons).toEqual(['DeadlineError', 'The operation ran past its deadline.'])
  })

  test('leaves a handler its grace period to complete', async ({ lab }) => {
    const advance = controlTimeouts(lab)
    const { store, id } = await nearlyOver(lab, reports, null, LONG_MS)
    const begun = Promise.withResolvers<void>()
    const handlers = handler(reports, async (_, { signal }) => {
      begun.resolve()
      await new Promise(resolve => signal.addEventListener('abort', resolve, { once: true }))
      return 'what there is so far'
    })
    await lab.waybill([reports], { store, worker: { handlers, gracePeriod: '5m' } })
    await begun.promise
    advance(LONG_MS)
    expect((await hasFinished(store, id)).status).toBe('completed')
  })

  test('stops a handler in a child process', async ({ lab }) => {
    const { store, id } = await nearlyOver(lab, acts, play({ do: 'wait' }))
    await lab.waybill([acts], { store, ...worker() })
    expect(await hasFinished(store, id)).toMatchObject({ ...OVER, attempt: 1 })
  })

  test('ends a child that ignores it, after the grace period', async ({ lab }) => {
    const { store, id } = await nearlyOver(lab, acts, play({ do: 'ignore' }))
    await lab.waybill([acts], { store, ...worker({ gracePeriod: 50 }) })
    expect(await hasFinished(store, id)).toMatchObject({ ...OVER, attempt: 1 })
  })

  test('stops the handler of an execution, which exits with 0', async ({ lab }) => {
    const advance = controlTimeouts(lab)
    const { store, id, open } = await nearlyOver(lab, acts, play({ do: 'wait' }), LONG_MS)
    const { handlers } = worker().worker
    const ended = runOperation({ operations: [acts], store: open(), handlers, operationId: id, logger: SILENT })
    await until(async () => (await logOf(store, id)).length > 0)
    advance(LONG_MS)
    expect(await ended).toBe(0)
    expect(await recordOf(store, id)).toMatchObject(OVER)
    expect(await logOf(store, id)).toContain('DeadlineError')
  })

  test('has an effect only if it is before the timeout of the attempt', async ({ lab }) => {
    const hasty = defineOperation({ name: 'hasty', deadline: '1h', timeout: 50, attempts: 1 })
    const { store, id } = await nearlyOver(lab, hasty, null, HOUR / 2)
    await lab.waybill([hasty], { store, worker: { handlers: handler(hasty, () => new Promise(() => {})) } })
    expect((await hasFinished(store, id)).error?.code).toBe('attempt-timeout')
  })
})

describe('a deadline that passes while nothing runs', () => {
  test('ends an operation that no worker claims', async ({ lab }) => {
    const urgent = defineOperation({ name: 'urgent', deadline: 50 })
    const waybill = await lab.waybill([urgent])
    expect(await hasFinished(waybill.store, await submit(waybill, urgent))).toMatchObject(OVER)
  })

  test('ends a sleep, and a wait for an event that is then refused', async () => {
    const handlers = handler(reports, async (input, job) =>
      input === 'sleeps' ? await job.sleep('long', '2h') : await job.ask('approval', { message: 'Go on?' }),
    )
    await using lab = await testWaybill({ operations: [reports], handlers })
    const asleep = await lab.submit(reports, 'sleeps')
    const asking = await lab.submit(reports, 'asks')
    await lab.drain()
    expect(await asleep.read()).toMatchObject({ ...OVER, finishedAt: (await asleep.read()).createdAt + HOUR })
    lab.clock.advance(1)
    await expect.poll(async () => await asking.read()).toMatchObject(OVER)
    const answer = lab.waybill.operations.sendEvent(asking.id, { name: 'approval', value: true, owner: '' })
    await expect(answer).rejects.toMatchObject({ problem: { code: 'operation-finished' } })
  })

  test('ends the operation early if the next attempt would begin after it', async () => {
    const slow = defineOperation({ name: 'slow', deadline: '1h', backoff: { initial: '2h', max: '2h', jitter: 0 } })
    const handlers = handler(slow, () => {
      throw new Error('no')
    })
    await using lab = await testWaybill({ operations: [slow], handlers })
    const operation = await lab.submit(slow, null)
    await lab.drain()
    expect(await operation.read()).toMatchObject({ status: 'failed', error: { code: 'operation-failed' }, attempt: 1 })
    expect(lab.clock.now()).toBe((await operation.read()).createdAt)
  })

  test('begins at the end of the delay, and again with a retry', async () => {
    await using lab = await testWaybill({ operations: [reports] })
    const { operations } = lab.waybill
    const { id } = await lab.submit(reports, null, { delay: '2h' })
    const { createdAt, deadline } = await operations.find(id, '')
    expect(deadline).toBe(createdAt + 3 * HOUR)
    lab.clock.advance(3 * HOUR)
    await expect.poll(async () => await operations.find(id, '')).toMatchObject(OVER)
    const { operation: again } = await operations.retry(id, '')
    expect(again).toMatchObject({ status: 'pending', deadline: again.createdAt + HOUR })
  })
})
