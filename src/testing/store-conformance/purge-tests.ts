import assert from 'node:assert/strict'
import { DAY, HOUR, leaseOf, numberedId, OUTCOMES, type StoreTest, type StoreTests, THROWN } from './context.ts'

export const purgeTests: StoreTests = {
  name: 'purge on demand',
  tests: {
    'everything of an ended operation but its record goes at once': async test => {
      const { id } = await noted(test)
      const ended = await test.finish(await test.read(id), { ...OUTCOMES.failed, error: THROWN })
      assert.equal(await test.store.purge(id), true)
      assert.deepEqual(await test.read(id), { ...ended, purged: true, idempotencyKey: null, tags: null })
      const [dump] = await test.store.dump(undefined, 1)
      const { input, output, steps, logs, errors } = dump ?? {}
      assert.deepEqual(
        { input, output, steps, logs, errors },
        { input: null, output: null, steps: [], logs: [], errors: [] },
      )
      assert.equal(await test.store.findByKey(ended.type, ended.owner, 'k'), undefined)
      assert.equal((await test.submit({ idempotencyKey: 'k' })).idempotencyKey, 'k')
    },

    'the record goes after as long again as its retention, counted from then': async test => {
      const { id } = await test.end(OUTCOMES.completed, { retention: 3 * DAY })
      test.clock.advance(HOUR)
      await test.store.purge(id)
      test.clock.advance(3 * DAY - 1)
      await test.store.sweep(100)
      assert.equal((await test.read(id)).purged, true)
      test.clock.advance(1)
      assert.deepEqual((await test.store.sweep(100)).purged, [id])
      assert.equal(await test.store.read(id), undefined)
    },

    'what has not ended stays, and so does what is purged already': async test => {
      const operations = [await test.submit(), await test.submit({ delay: HOUR }), await noted(test)]
      for (const { id } of operations) {
        const before = await test.read(id)
        assert.equal(await test.store.purge(id), false)
        assert.deepEqual(await test.read(id), before)
        assert.notEqual(await test.store.readPayload(id, 'input'), undefined)
      }
      const { id } = await test.end(OUTCOMES.completed)
      assert.deepEqual(await Promise.all([test.store.purge(id), test.store.purge(id)]).then(it => it.sort()), [
        false,
        true,
      ])
      assert.equal(await test.store.purge(id), false)
      assert.equal(await test.store.purge(numberedId(99)), false)
      assert.equal(await test.store.purge('x'), false)
    },
  },
}

async function noted(test: StoreTest) {
  const running = await test.run({
    idempotencyKey: 'k',
    tags: { customer: 'Ada' },
    input: JSON.stringify('x'.repeat(10_000)),
  })
  await test.store.appendNote(leaseOf(running), { kind: 'step', name: 'charge', value: '1' })
  await test.store.appendNote(leaseOf(running), { kind: 'log', level: 'info', message: 'packing' })
  return running
}
