import assert from 'node:assert/strict'
import { type StoreTests, TYPE } from './context.ts'

export const checkTests: StoreTests = {
  name: 'check',
  tests: {
    'succeeds where writes do, also at the same time and often': async test => {
      await test.store.check?.()
      const [operation] = await Promise.all([test.submit(), ...Array.from({ length: 10 }, () => test.store.check?.())])
      assert.equal((await test.read(operation.id)).status, 'pending')
    },

    'leaves no operation behind, and changes none': async test => {
      const before = await test.submit()
      await test.store.check?.()
      assert.deepEqual(await test.read(before.id), before)
      assert.deepEqual(await test.store.list({ type: TYPE, owner: before.owner, limit: 10 }), [before])
      assert.equal((await test.store.dump(undefined, 10)).length, 1)
    },

    'rejects after the end of the store': async test => {
      await test.store.close()
      if (test.store.check !== undefined) await assert.rejects(test.store.check())
    },
  },
}
