import assert from 'node:assert/strict'
import type { Hint } from '../../stores/store.ts'
import { CLAIM_BY, HOUR, hintThatFinds, idsOf, type StoreTest, type StoreTests } from './context.ts'

/** For stores whose inputs a test can remove: an operation without one ends, and everything else goes on. */
export const lostInputTests: StoreTests = {
  name: 'an input that is not there',
  tests: {
    'ends its operation as failed, and keeps no other one from being claimed': async test => {
      const operations = await test.submitMany(3)
      const [first, second, third] = idsOf(operations)
      await test.loseInput(second ?? '')
      test.clock.advance(HOUR)
      const hint = ended(test, second ?? '')
      assert.deepEqual(idsOf(await test.claim(10)), [first, third])
      await hint
      await assertEnded(test, second ?? '')
      assert.deepEqual(await test.claim(10), [])
    },

    'ends its operation when that is claimed by its id, as an execution does': async test => {
      const { id } = await test.submit()
      await test.loseInput(id)
      test.clock.advance(HOUR)
      const hint = ended(test, id)
      assert.deepEqual(await test.store.claim({ ...CLAIM_BY, from: { id } }), [])
      await hint
      await assertEnded(test, id)
    },
  },
}

/** A hint that the operation has ended, at which it is seen to have failed. */
function ended({ store }: StoreTest, id: string): Promise<void> {
  const fits = (hint: Hint) => hint.kind === 'unknown' || (hint.kind === 'ended' && hint.id === id)
  return hintThatFinds(store, fits, async () => (await store.read(id))?.status === 'failed')
}

async function assertEnded(test: StoreTest, id: string): Promise<void> {
  const { status, error, history } = await test.read(id)
  const outcomes = history.map(({ outcome }) => outcome)
  assert.deepEqual(
    { status, code: error?.code, outcomes },
    { status: 'failed', code: 'input-lost', outcomes: ['failed'] },
  )
}
