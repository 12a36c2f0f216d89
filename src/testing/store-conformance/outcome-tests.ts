import assert from 'node:assert/strict'
import { type Change, HISTORY_LIMIT, type Operation } from '../../model/operation.ts'
import { problem } from '../../model/problem.ts'
import { isFinal } from '../../model/protocol.ts'
import { DAY, HOLDER, OUT_OF_STOCK, OUTCOMES, type StoreTest, type StoreTests, THROWN } from './context.ts'

export const outcomeTests: StoreTests = {
  name: 'outcomes',
  tests: {
    'completed: final, with the output to the letter': async test => {
      const running = await test.run({ retention: DAY })
      test.clock.advance(1500)
      const output = '{"total": 1.50, "note":"\\u0000 😀"}'
      const operation = await test.finish(running, { kind: 'completed', output })
      assert.equal(operation.status, 'completed')
      assert.equal(operation.finishedAt, test.now)
      assert.equal(operation.expiresAt, test.now + DAY)
      assert.equal(operation.version, running.version + 1)
      assert.equal(await test.store.readPayload(operation.id, 'output'), output)
      assert.deepEqual(await test.read(operation.id), operation)
    },

    'failed: final at once, attempts left or not, with the whole problem': async test => {
      const operation = await test.end(OUTCOMES.failed)
      assert.equal(operation.status, 'failed')
      assert.deepEqual((await test.read(operation.id)).error, OUT_OF_STOCK)
      assert.equal(await test.store.readPayload(operation.id, 'output'), undefined)
    },

    'an operation is read with its output, where the store can': async test => {
      const { store } = test
      if (store.readWithOutput === undefined) return
      const done = await test.end(OUTCOMES.completed)
      const others = [await test.end(OUTCOMES.failed), await test.run()]
      const ids = [done, ...others].map(({ id }) => id)
      assert.deepEqual(await Promise.all(ids.map(async id => await store.readWithOutput?.(id))), [
        { operation: done, output: OUTCOMES.completed.output },
        ...others.map(operation => ({ operation })),
      ])
      assert.equal(await store.readWithOutput(crypto.randomUUID()), undefined)
    },

    'what attempts threw is kept beside the record, which does not have it': async test => {
      const running = await test.run()
      const first = await test.finish(running, { ...OUTCOMES.retry, delayMs: 0, error: THROWN })
      const second = await test.finish(await test.claimOne(running.id), { ...OUTCOMES.retry, delayMs: 0 })
      assert.equal(second.attempt, 2)
      const third = { name: 'Error', message: 'the third' }
      const failed = await test.finish(await test.claimOne(running.id), { ...OUTCOMES.failed, error: third })
      assert.equal(failed.status, 'failed')
      assert.deepEqual(await test.store.errors(running.id), [
        { attempt: 1, error: THROWN },
        { attempt: 3, error: third },
      ])
      assert.doesNotMatch(JSON.stringify([first, failed, await test.read(running.id)]), /boom|third/)
    },

    'what an attempt threw that had lost its lease is not kept': async test => {
      const running = await test.run()
      await test.change(running.id, { kind: 'abandon', attempt: 1, reason: 'It is gone.' })
      const outcome = { ...OUTCOMES.failed, error: THROWN }
      assert.equal(await test.store.change(running.id, { kind: 'finish', attempt: 1, outcome }), undefined)
      assert.deepEqual(await test.store.errors(running.id), [])
    },

    'an outcome that cannot be written fails alone, and another one ends the operation': async test => {
      const [bad, ...others] = await Promise.all(Array.from({ length: 5 }, () => test.run()))
      assert.ok(bad)
      const unwritable = { ...OUTCOMES.failed, problem: { ...OUT_OF_STOCK, amount: 10n } }
      const refused = assert.rejects(test.finish(bad, unwritable))
      const ended = await Promise.all(others.map(other => test.finish(other, OUTCOMES.completed)))
      await refused
      assert.deepEqual([...new Set(ended.map(({ status }) => status))], ['completed'])
      assert.equal((await test.read(bad.id)).status, 'running')
      assert.equal((await test.finish(bad, OUTCOMES.failed)).status, 'failed')
    },

    'what attempts threw goes with the payloads': async test => {
      const { id } = await test.end({ ...OUTCOMES.failed, error: THROWN }, { retention: DAY })
      assert.equal((await test.store.errors(id)).length, 1)
      test.clock.advance(DAY)
      await test.store.sweep(100)
      assert.deepEqual(await test.store.errors(id), [])
    },

    'canceled: final, with the reason': async test => {
      const operation = await test.end(OUTCOMES.canceled)
      assert.equal(operation.status, 'canceled')
      assert.deepEqual((await test.read(operation.id)).error, problem('operation-canceled'))
    },

    'retry: pending until its delay has passed, then the next attempt': async test => {
      const operation = await test.end({ kind: 'retry', problem: OUT_OF_STOCK, delayMs: 5000 })
      assert.equal(operation.status, 'pending')
      assert.equal(operation.runAt, test.now + 5000)
      assert.equal(operation.error, null)
      assert.deepEqual(await test.claim(1), [])
      test.clock.advance(5000)
      assert.equal((await test.claim(1))[0]?.operation.attempt, 2)
    },

    'retry: failed with the problem once the attempts are used up': async test => {
      const { id } = await test.submit({ maxAttempts: 2 })
      const first = await test.finish(await test.claimOne(id), { ...OUTCOMES.retry, delayMs: 0 })
      assert.equal(first.status, 'pending')
      const second = await test.finish(await test.claimOne(id), { ...OUTCOMES.retry, delayMs: 0 })
      assert.equal(second.status, 'failed')
      assert.deepEqual(second.error, OUT_OF_STOCK)
    },

    'released: pending at once, and the attempt is not counted': async test => {
      const { id } = await test.submit({ maxAttempts: 2 })
      for (let time = 1; time <= 3; time++) {
        const back = await test.finish(await test.claimOne(id), OUTCOMES.released)
        assert.equal(back.status, 'pending')
        assert.equal(back.runAt, null)
        assert.equal(back.released, time)
      }
      const failedOnce = await test.finish(await test.claimOne(id), { ...OUTCOMES.retry, delayMs: 0 })
      assert.equal(failedOnce.status, 'pending')
      const failed = await test.finish(await test.claimOne(id), OUTCOMES.retry)
      assert.equal(failed.status, 'failed')
      assert.equal(failed.attempt, 5)
    },

    'released with a delay: pending until it has passed, and the attempt is not counted': async test => {
      const { id } = await test.submit({ maxAttempts: 1 })
      const back = await test.finish(await test.claimOne(id), { kind: 'released', delayMs: 5000 })
      assert.equal(back.status, 'pending')
      assert.equal(back.runAt, test.now + 5000)
      assert.deepEqual(await test.claim(1), [])
      test.clock.advance(5000)
      assert.equal((await test.claim(1))[0]?.operation.id, id)
    },

    'retry and released: canceled where a cancel was requested': async test => {
      for (const outcome of [OUTCOMES.retry, OUTCOMES.released]) {
        const running = await test.run()
        await test.change(running.id, { kind: 'cancel' })
        const operation = await test.finish(running, outcome)
        assert.equal(operation.status, 'canceled')
        assert.equal(operation.error?.code, 'operation-canceled')
      }
    },

    'completed and failed: what really happened wins over a requested cancel': async test => {
      for (const outcome of [OUTCOMES.completed, OUTCOMES.failed]) {
        const running = await test.run()
        await test.change(running.id, { kind: 'cancel' })
        assert.equal((await test.finish(running, outcome)).status, outcome.kind)
      }
    },

    'every attempt that ended is in the history, with its holder, execution, engine, times and end': async test => {
      const { id } = await test.submit()
      const first = await test.claimOne(id, { execution: 'job-1', engine: 'jobs' })
      test.clock.advance(100)
      assert.equal((await test.finish(first, { ...OUTCOMES.retry, delayMs: 0 })).engine, null)
      test.clock.advance(10)
      const second = await test.claimOne(id)
      test.clock.advance(200)
      const { history } = await test.finish(second, OUTCOMES.completed)
      const start = first.startedAt ?? 0
      const base = { holder: HOLDER, execution: null, engine: null, error: null }
      assert.deepEqual(history, [
        {
          ...base,
          number: 1,
          execution: 'job-1',
          engine: 'jobs',
          startedAt: start,
          finishedAt: start + 100,
          outcome: 'failed',
          error: OUT_OF_STOCK,
        },
        { ...base, number: 2, startedAt: start + 110, finishedAt: start + 310, outcome: 'completed' },
      ])
      assert.deepEqual((await test.read(id)).history, history)
    },

    'of many attempts the history keeps the last ones': async test => {
      const { id } = await test.submit()
      let last: Operation | undefined
      for (let time = 0; time < HISTORY_LIMIT + 2; time++) {
        last = await test.finish(await test.claimOne(id), OUTCOMES.released)
      }
      assert.equal(last?.history.length, HISTORY_LIMIT)
      assert.equal(last?.history.at(-1)?.number, HISTORY_LIMIT + 2)
    },

    'of racing outcomes of one attempt the first stands, and the others are refused': async test => {
      const running = await test.run()
      const outputs = Array.from({ length: 20 }, (_, index) => String(index))
      const answers = await Promise.all(
        outputs.map(output =>
          test.store.change(running.id, { kind: 'finish', attempt: 1, outcome: { kind: 'completed', output } }),
        ),
      )
      const winners = outputs.filter((_, index) => answers[index] !== undefined)
      assert.equal(winners.length, 1)
      assert.equal(await test.store.readPayload(running.id, 'output'), winners[0])
    },

    'of a racing cancel and outcome exactly one final status is recorded': async test => {
      const operations = await Promise.all(Array.from({ length: 20 }, () => test.run()))
      await Promise.all(operations.flatMap((operation, turn) => race(test, operation, turn)))
      for (const { id } of operations) {
        const after = await test.read(id)
        assert.ok(isFinal(after.status))
        assert.equal(after.history.length, 1)
        assert.equal((await test.store.readPayload(id, 'output')) !== undefined, after.status === 'completed')
      }
    },
  },
}

/** Everything that can end it at once, each time in another order. */
function race(test: StoreTest, { id, attempt }: Operation, turn: number): Promise<unknown>[] {
  const changes: Change[] = [
    { kind: 'cancel' },
    { kind: 'finish', attempt, outcome: OUTCOMES.canceled },
    { kind: 'finish', attempt, outcome: OUTCOMES.completed },
    { kind: 'finish', attempt, outcome: OUTCOMES.failed },
  ]
  const first = turn % changes.length
  return [...changes.slice(first), ...changes.slice(0, first)].map(change => test.store.change(id, change))
}
