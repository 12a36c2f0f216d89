import assert from 'node:assert/strict'
import { HOUR, idsOf, LEASE_MS, OUTCOMES, type StoreTests } from './context.ts'

const webhookUrl = 'https://hooks.example/ü?a=1'

export const webhookTests: StoreTests = {
  name: 'webhooks',
  tests: {
    'a webhook is due once the operation has ended, however it has': async test => {
      const ids = [
        (await test.end(OUTCOMES.completed, { webhookUrl })).id,
        (await test.end(OUTCOMES.failed, { webhookUrl })).id,
        (await test.submit({ webhookUrl })).id,
        (await test.run({ webhookUrl, maxLost: 0 })).id,
      ]
      assert.deepEqual(idsOf(await test.store.webhooksDue(100)), ids.slice(0, 2))
      await test.change(ids[2] ?? '', { kind: 'cancel' })
      test.clock.advance(LEASE_MS)
      await test.store.sweep(100)
      assert.deepEqual(idsOf(await test.store.webhooksDue(100)), ids)
      assert.deepEqual(await test.store.webhooksDue(1), [await test.read(ids[0] ?? '')])
    },

    'none is due of an operation without one, or that has not ended': async test => {
      await test.end(OUTCOMES.completed)
      await test.run({ webhookUrl })
      await test.end(OUTCOMES.retry, { webhookUrl })
      assert.deepEqual(await test.store.webhooksDue(100), [])
    },

    'it is due until it is accepted, which nothing else of the record shows': async test => {
      const done = await test.end(OUTCOMES.completed, { webhookUrl })
      test.clock.advance(10)
      const accepted = await test.change(done.id, { kind: 'webhook-accepted' })
      assert.deepEqual(accepted, { ...done, webhookDue: false })
      assert.deepEqual(await test.read(done.id), accepted)
      assert.deepEqual(await test.store.webhooksDue(100), [])
      assert.equal(await test.store.change(done.id, { kind: 'webhook-accepted' }), undefined)
    },

    'it is still due when the retention has passed': async test => {
      const { id } = await test.end(OUTCOMES.completed, { webhookUrl, retention: HOUR })
      test.clock.advance(HOUR)
      await test.store.sweep(100)
      assert.deepEqual(idsOf(await test.store.webhooksDue(100)), [id])
    },
  },
}
