import assert from 'node:assert/strict'
import { QUEUE_READY_LIMIT } from '../../stores/store.ts'
import { idsOf, OUTCOMES, type StoreTests, TYPE } from './context.ts'

const EMPTY = { ready: [], depth: 0, running: 0, oldestAt: null, durations: [] }

export const queueTests: StoreTests = {
  name: 'queue',
  tests: {
    'an unknown type has an empty queue': async test => {
      assert.deepEqual(await test.store.queueStats('none'), EMPTY)
    },

    'shows what is ready in the order of the claims to come': async test => {
      const ids: string[] = []
      for (const priority of [0, -5, 0, 5]) ids.push((await test.submit({ priority })).id)
      const [a, b, c, d] = ids
      const { ready, depth } = await test.store.queueStats(TYPE)
      assert.deepEqual(ready, [d, a, c, b])
      assert.equal(depth, 4)
      assert.deepEqual(idsOf(await test.claim(4)), ready)
    },

    'counts what runs, and only its own type': async test => {
      await test.run()
      await test.run()
      await test.run({ type: 'refunds' })
      await test.end(OUTCOMES.completed)
      await test.submit({ type: 'refunds' })
      const { running, depth } = await test.store.queueStats(TYPE)
      assert.equal(running, 2)
      assert.equal(depth, 0)
    },

    'shows neither what is delayed, nor what is held for a launch, before it is due': async test => {
      await test.submit()
      await test.store.reserveForLaunch({ types: [TYPE], limit: 1, holdMs: 1000 })
      await test.submit({ delay: 1000 })
      assert.deepEqual(await test.store.queueStats(TYPE), EMPTY)
    },

    'shows what has become due, though no one has claimed since': async test => {
      const due = await test.submit({ delay: 1000 })
      const later = await test.submit({ delay: 1001 })
      const ready = await test.submit()
      const urgent = await test.submit({ delay: 10, priority: 1 })
      test.clock.advance(1000)
      const { ready: ids, depth, oldestAt } = await test.store.queueStats(TYPE)
      assert.deepEqual(ids, idsOf([urgent, due, ready]))
      assert.equal(depth, 3)
      assert.equal(oldestAt, due.createdAt)
      test.clock.advance(1)
      assert.deepEqual((await test.store.queueStats(TYPE)).ready, idsOf([urgent, due, later, ready]))
    },

    'tells how old the oldest is': async test => {
      const first = await test.submit()
      test.clock.advance(1000)
      await test.submit({ priority: 9 })
      assert.equal((await test.store.queueStats(TYPE)).oldestAt, first.createdAt)
    },

    'shows the first of a long queue, and counts further': async test => {
      const operations = await test.submitMany(QUEUE_READY_LIMIT + 5)
      const { ready, depth } = await test.store.queueStats(TYPE)
      assert.deepEqual(ready, idsOf(operations).slice(0, QUEUE_READY_LIMIT))
      assert.equal(depth, QUEUE_READY_LIMIT + 5)
    },

    'tells how long the last completed attempts ran, the newest first': async test => {
      for (const ms of [300, 100, 200]) {
        const running = await test.run()
        test.clock.advance(ms)
        await test.finish(running, OUTCOMES.completed)
      }
      const failing = await test.run()
      test.clock.advance(7)
      await test.finish(failing, OUTCOMES.failed)
      assert.deepEqual((await test.store.queueStats(TYPE)).durations, [200, 100, 300])
      assert.deepEqual((await test.store.queueStats('refunds')).durations, [])
    },

    'remembers a hundred durations': async test => {
      for (let ms = 1; ms <= 105; ms++) {
        const running = await test.run()
        test.clock.advance(ms)
        await test.finish(running, OUTCOMES.completed)
      }
      const { durations } = await test.store.queueStats(TYPE)
      assert.deepEqual(
        durations,
        Array.from({ length: 100 }, (_, index) => 105 - index),
      )
    },
  },
}
