import { describe, it } from 'vitest'
import { postgresStore } from 'waybill/stores/postgres'
import { atLength } from '../../support/length.ts'
import { testDatabase } from '../../support/postgres.ts'
import { assertFollowsModel } from '../../support/store-commands.ts'

const database = testDatabase()

describe('the PostgreSQL store under random commands', () => {
  it('agrees with the state machine', async () => {
    const pool = database.pool()
    await assertFollowsModel({
      open: async clock => {
        const options = { schema: await database.emptiedSchema(), clock: clock.now, notifications: false }
        const store = postgresStore(pool, options)
        await store.open()
        return store
      },
      ordered: false,
      listsBy: 'id',
      runs: atLength(4, 25),
      longest: 40,
    })
  })
})
