import { describe, it } from 'vitest'
import { sqliteStore } from 'waybill/stores/sqlite'
import { atLength } from '../support/length.ts'
import { assertFollowsModel } from '../support/store-commands.ts'

describe('a store under random commands, alone and many at once', () => {
  it('gives the same answers as the state machine', async () => {
    await assertFollowsModel({
      open: async clock => {
        const store = sqliteStore({ path: ':memory:', clock: clock.now })
        await store.open()
        return store
      },
      // Writes of one moment share a transaction, in their order.
      ordered: true,
      listsBy: 'acceptance',
      runs: atLength(25, 150),
      longest: 60,
    })
  })
})
