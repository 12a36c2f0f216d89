import assert from 'node:assert/strict'
import { claimed } from '../../model/state-machine.ts'
import { CLAIM_BY, idsOf, numberedId, OUTCOMES, type StoreTests, TYPE } from './context.ts'

export const claimTests: StoreTests = {
  name: 'claim',
  tests: {
    'begins the first attempt, and hands out the input': async test => {
      const operation = await test.submit({ input: '{"n":1}' })
      test.clock.advance(500)
      const claims = await test.claim(10)
      const expected = claimed(operation, CLAIM_BY, test.now)
      assert.deepEqual(claims, [{ operation: expected, input: '{"n":1}' }])
      assert.deepEqual(await test.read(operation.id), expected)
    },

    'answers with nothing when nothing is ready': async test => {
      assert.deepEqual(await test.claim(10), [])
      await test.run()
      await test.end(OUTCOMES.completed)
      assert.deepEqual(await test.claim(10), [])
    },

    'takes a higher priority first, and of equal ones that which was accepted first': async test => {
      const ids: string[] = []
      for (const priority of [0, -100, 0, 100, 0]) ids.push((await test.submit({ priority })).id)
      const [a, b, c, d, e] = ids
      assert.deepEqual(idsOf(await test.claim(5)), [d, a, c, e, b])
    },

    'takes no more than the limit, and the rest the next time': async test => {
      const ids = idsOf(await test.submitMany(5))
      assert.deepEqual(idsOf(await test.claim(2)), ids.slice(0, 2))
      assert.deepEqual(idsOf(await test.claim(10)), ids.slice(2))
    },

    'keeps the limit of each type and of all, type by type in the order of the request': async test => {
      const [a, b] = [await test.submitMany(4, { type: 'a' }), await test.submitMany(4, { type: 'b' })]
      const types = [
        { type: 'b', limit: 2 },
        { type: 'a', limit: 4 },
      ]
      const claims = await test.store.claim({ ...CLAIM_BY, from: { types, limit: 5 } })
      assert.deepEqual(idsOf(claims), [...idsOf(b.slice(0, 2)), ...idsOf(a.slice(0, 3))])
    },

    'takes nothing of types that are not asked for, or at a limit of 0': async test => {
      await test.submit({ type: 'other' })
      await test.submit()
      const types = [{ type: TYPE, limit: 0 }]
      assert.deepEqual(await test.store.claim({ ...CLAIM_BY, from: { types, limit: 5 } }), [])
      assert.deepEqual(await test.store.claim({ ...CLAIM_BY, from: { types: [], limit: 5 } }), [])
    },

    'leaves a delayed operation in the queue until its time': async test => {
      const { id } = await test.submit({ delay: 1000 })
      test.clock.advance(999)
      assert.deepEqual(await test.claim(1), [])
      test.clock.advance(1)
      assert.deepEqual(idsOf(await test.claim(1)), [id])
    },

    'gives a delayed operation that is due its place by priority and id': async test => {
      const low = await test.submit({ priority: -1 })
      const due = await test.submit({ delay: 1000 })
      const ready = await test.submit()
      const high = await test.submit({ delay: 500, priority: 5 })
      test.clock.advance(1000)
      assert.deepEqual(idsOf(await test.claim(10)), idsOf([high, due, ready, low]))
    },

    'passes over what is too late to start, and takes the next': async test => {
      await test.submit({ startWithin: 1000 })
      const late = await test.submit({ endWithin: 1000 })
      const next = await test.submit({ endWithin: 1001 })
      test.clock.advance(1000)
      assert.deepEqual(await test.store.claim({ ...CLAIM_BY, from: { id: late.id } }), [])
      assert.deepEqual(idsOf(await test.claim(1)), [next.id])
    },

    'begins the next attempt of an operation that came back': async test => {
      const first = await test.end(OUTCOMES.released)
      const [second] = await test.claim(1)
      assert.equal(second?.operation.id, first.id)
      assert.equal(second?.operation.attempt, 2)
    },

    'claims one operation by its id, due or not, and no other': async test => {
      await test.submit()
      const { id } = await test.submit({ delay: 60_000 })
      assert.deepEqual(idsOf(await test.store.claim({ ...CLAIM_BY, from: { id } })), [id])
    },

    'claims nothing by an id that is unknown, running or finished': async test => {
      const running = await test.run()
      const finished = await test.end(OUTCOMES.failed)
      for (const id of [numberedId(99), running.id, finished.id]) {
        assert.deepEqual(await test.store.claim({ ...CLAIM_BY, from: { id } }), [])
      }
      assert.deepEqual(await test.read(running.id), running)
      assert.deepEqual(await test.read(finished.id), finished)
    },

    'records the holder, and the execution that claimed with its engine': async test => {
      const { id } = await test.submit()
      const operation = await test.claimOne(id, {
        holder: 'host/2/b',
        execution: 'job-7',
        engine: 'jobs',
        leaseMs: 5000,
      })
      assert.equal(operation.holder, 'host/2/b')
      assert.equal(operation.execution, 'job-7')
      assert.equal(operation.engine, 'jobs')
      assert.equal(operation.leaseUntil, test.now + 5000)
      assert.deepEqual(await test.read(id), operation)
    },

    'never gives one operation to two of many racing claimers': async test => {
      const ids = idsOf(await test.submitMany(60))
      const claims = await Promise.all(Array.from({ length: 20 }, () => test.claim(4)))
      assert.deepEqual(idsOf(claims.flat()).sort(), ids)
    },

    'gives one id to one of many racing claimers': async test => {
      const { id } = await test.submit()
      const claims = await Promise.all(
        Array.from({ length: 20 }, () => test.store.claim({ ...CLAIM_BY, from: { id } })),
      )
      assert.equal(claims.flat().length, 1)
      assert.equal((await test.read(id)).attempt, 1)
    },
  },
}
