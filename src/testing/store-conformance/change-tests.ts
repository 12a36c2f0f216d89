import assert from 'node:assert/strict'
import type { Change, Operation } from '../../model/operation.ts'
import { isFinal } from '../../model/protocol.ts'
import { changed } from '../../model/state-machine.ts'
import { LEASE_MS, numberedId, OUTCOMES, type StoreTest, type StoreTests } from './context.ts'

/** Ways to bring a fresh operation into each state in which changes mean something else. */
const STATES: Readonly<Record<string, (test: StoreTest) => Promise<Operation>>> = {
  'a pending operation': test => test.submit(),
  'a delayed operation': test => test.submit({ delay: 60_000 }),
  'an operation that waits for its next attempt': test => test.end(OUTCOMES.retry),
  'an operation whose execution is being started': launched,
  'an operation whose execution was started': async test => {
    const { id } = await launched(test)
    return await test.change(id, { kind: 'launched', launch: 1, execution: 'job-1', engine: 'jobs' })
  },
  'an operation that was launched once too often': async test => {
    for (let launch = 1; launch <= 2; launch++) {
      await launched(test, launch)
      test.clock.advance(HOLD_MS)
    }
    return await launched(test, 3)
  },
  'a running operation': test => test.run(),
  'a running operation on its last attempt': test => test.run({ maxAttempts: 1 }),
  'a running operation that may not be lost once': test => test.run({ maxLost: 0 }),
  'a running operation that is asked to cancel': async test => {
    const { id } = await test.run()
    return await test.change(id, { kind: 'cancel' })
  },
  'an ended operation whose webhook is due': test => test.end(OUTCOMES.failed, { webhookUrl: 'https://a.example/' }),
  'an ended operation whose webhook was accepted': async test => {
    const { id } = await test.end(OUTCOMES.completed, { webhookUrl: 'https://a.example/' })
    return await test.change(id, { kind: 'webhook-accepted' })
  },
  'an operation that waits for two of three children': async test => await waitingParent(test),
  'an ended operation whose family is to be told': async test => {
    return await test.end(OUTCOMES.completed, { parent: numberedId(97) })
  },
  'an ended operation whose family was told': async test => {
    const { id } = await test.end(OUTCOMES.failed, { parent: numberedId(97) })
    return await test.change(id, { kind: 'family-told' })
  },
  'a completed operation': test => test.end(OUTCOMES.completed),
  'a failed operation': test => test.end(OUTCOMES.failed),
  'an ended operation that another one runs again': async test => {
    const { id } = await test.end(OUTCOMES.failed, { webhookUrl: 'https://a.example/' })
    return await test.change(id, { kind: 'retried', by: numberedId(98) })
  },
  'a canceled operation': async test => {
    const { id } = await test.submit()
    return await test.change(id, { kind: 'cancel' })
  },
}

const HOLD_MS = 10_000

async function waitingParent(test: StoreTest): Promise<Operation> {
  const { id, attempt } = await test.run()
  await test.change(id, { kind: 'has-children', attempt })
  const wait = { kind: 'children', name: 'all', withinMs: null, left: 1, told: 0 } as const
  return await test.change(id, { kind: 'finish', attempt, outcome: { kind: 'suspended', waits: [wait] } })
}

async function launched(test: StoreTest, launches = 1): Promise<Operation> {
  if (launches === 1) await test.submit()
  const [operation] = await test.store.reserveForLaunch({ types: ['orders'], limit: 1, holdMs: HOLD_MS })
  assert.equal(operation?.launches, launches)
  return operation
}

/** Every kind of change, with the right fence and with a wrong one. */
const CHANGES: readonly Change[] = [
  ...Object.values(OUTCOMES).flatMap(outcome =>
    [0, 1, 2].map(attempt => ({ kind: 'finish', attempt, outcome }) as const),
  ),
  ...[0, 1].map(
    attempt => ({ kind: 'progress', attempt, progress: { fraction: 0.25, message: 'Packing “äpples”' } }) as const,
  ),
  { kind: 'progress', attempt: 1, progress: { fraction: 1 } },
  { kind: 'cancel' },
  ...[0, 1, 2, 3].map(launch => ({ kind: 'launched', launch, execution: 'job-9', engine: 'jobs' }) as const),
  ...[0, 1, 2, 3].map(launch => ({ kind: 'launch-refused', launch, delayMs: 2000 }) as const),
  { kind: 'webhook-accepted' },
  { kind: 'family-told' },
  ...[0, 1].map(attempt => ({ kind: 'has-children', attempt }) as const),
  ...[0, 2].map(unfinished => ({ kind: 'children-ended', unfinished, told: 0 }) as const),
  { kind: 'children-ended', unfinished: 0, told: 1 },
  { kind: 'retried', by: numberedId(99) },
  ...[0, 1, 2].map(attempt => ({ kind: 'abandon', attempt, reason: 'It is gone.' }) as const),
]

export const changeTests: StoreTests = {
  name: 'changes',
  tests: {
    ...Object.fromEntries(
      Object.entries(STATES).map(([state, make]) => [
        `${state} takes the changes that the state machine lets through, and no others`,
        (test: StoreTest) => assertAllChanges(test, make),
      ]),
    ),

    'a final status never changes, whatever happens and however late': async test => {
      const ends = [OUTCOMES.completed, OUTCOMES.failed, OUTCOMES.canceled]
      const before = await Promise.all(ends.map(outcome => test.end(outcome, { startWithin: 1 })))
      test.clock.advance(LEASE_MS)
      await test.store.sweep(100)
      for (const operation of before) {
        for (const change of CHANGES.filter(({ kind }) => kind !== 'retried')) {
          assert.equal(await test.store.change(operation.id, change), undefined)
        }
        assert.deepEqual(await test.store.renew([operation], LEASE_MS), [{ kind: 'lost' }])
        assert.deepEqual(await test.read(operation.id), operation)
      }
    },

    'an ended operation names the one that runs it again, and nothing else of it changes': async test => {
      const ended = await test.end(OUTCOMES.failed)
      const [first, second] = [numberedId(98), numberedId(99)]
      assert.deepEqual(await test.change(ended.id, { kind: 'retried', by: first }), { ...ended, retriedBy: first })
      assert.equal(await test.store.change(ended.id, { kind: 'retried', by: first }), undefined)
      assert.deepEqual(await test.change(ended.id, { kind: 'retried', by: second }), { ...ended, retriedBy: second })
      assert.deepEqual(await test.read(ended.id), { ...ended, retriedBy: second })
    },

    'progress shows with a new version, and is gone with its attempt': async test => {
      const running = await test.run()
      test.clock.advance(10)
      const progress = { fraction: 0.5, message: 'Half' }
      const operation = await test.change(running.id, { kind: 'progress', attempt: 1, progress })
      assert.deepEqual(operation, { ...running, progress, version: running.version + 1, updatedAt: test.now })
      assert.equal((await test.finish(operation, OUTCOMES.released)).progress, null)
    },

    'a cancel is immediate where it is pending, and can not be claimed afterwards': async test => {
      const { id } = await test.submit()
      const operation = await test.change(id, { kind: 'cancel' })
      assert.equal(operation.status, 'canceled')
      assert.equal(operation.cancelRequested, true)
      assert.equal(operation.startedAt, null)
      assert.deepEqual(await test.claim(1), [])
    },

    'a cancel is a request where it runs, recorded once': async test => {
      const running = await test.run()
      const operation = await test.change(running.id, { kind: 'cancel' })
      assert.equal(operation.status, 'running')
      assert.equal(operation.cancelRequested, true)
      assert.equal(await test.store.change(running.id, { kind: 'cancel' }), undefined)
      assert.deepEqual(await test.read(running.id), operation)
    },

    'an attempt that is abandoned is lost at once, and the next one can begin': async test => {
      const running = await test.run()
      await test.change(running.id, { kind: 'abandon', attempt: 1, reason: 'The process is gone.' })
      const [claim] = await test.claim(1)
      assert.equal(claim?.operation.attempt, 2)
      assert.equal(claim?.operation.lost, 1)
      assert.equal(claim?.operation.history[0]?.outcome, 'lost')
      assert.match(claim?.operation.history[0]?.error?.detail ?? '', /The process is gone/)
    },

    'of racing changes every one sees what those before it did': async test => {
      const running = await test.run()
      const progress = Array.from({ length: 50 }, (_, index) => ({ fraction: index / 50 }))
      const answers = await Promise.all(
        progress.map(it => test.store.change(running.id, { kind: 'progress', attempt: 1, progress: it })),
      )
      const versions = answers.map(operation => operation?.version ?? 0).sort((a, b) => a - b)
      assert.deepEqual(
        versions,
        Array.from({ length: 50 }, (_, index) => running.version + 1 + index),
      )
    },
  },
}

/**
 * Each change on an operation of the state: the store does what the pure function says, or nothing. One that a change
 * has left as it was serves for the next change, too.
 */
async function assertAllChanges(test: StoreTest, make: (test: StoreTest) => Promise<Operation>): Promise<void> {
  let operation: Operation | undefined
  for (const change of CHANGES) {
    const before = operation ?? (await make(test))
    const expected = changed(before, change, test.now)
    const context = JSON.stringify(change)
    assert.deepEqual(await test.store.change(before.id, change), expected, context)
    assert.deepEqual(await test.read(before.id), expected ?? before, context)
    operation = expected === undefined ? before : undefined
    if (operation === undefined) await settle(test, before.id)
  }
}

/** Ends an operation, so that it is not in the way of the next one. */
async function settle(test: StoreTest, id: string): Promise<void> {
  const { status, attempt } = await test.read(id)
  if (isFinal(status)) return
  if (status === 'pending') await test.change(id, { kind: 'cancel' })
  else await test.change(id, { kind: 'finish', attempt, outcome: OUTCOMES.canceled })
}
