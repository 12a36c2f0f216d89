import { describe, it, vi } from 'vitest'
import type { Store } from '../../../src/stores/store.ts'
import type { ManualClock } from '../../../src/testing/manual-clock.ts'
import { cosmosAccount } from '../../support/cosmos.ts'
import { atLength } from '../../support/length.ts'
import { assertFollowsModel } from '../../support/store-commands.ts'

const account = cosmosAccount()

/** Without a TTL: it would take away what no sweep has come for in days, which the model knows nothing of. */
async function open(clock: ManualClock): Promise<Store> {
  const container = account.container({ clock: clock.now, defaultTtl: undefined })
  return await account.store(container, { clock: clock.now, pollInterval: 60_000 })
}

describe('the Cosmos DB store under random commands, alone and many at once', () => {
  it('agrees with the state machine', async () => {
    vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
    // Each write is several requests: `npm run faults` draws more lists.
    await assertFollowsModel({
      open,
      ordered: false,
      listsBy: 'id',
      runs: Number(process.env.WAYBILL_LISTS ?? atLength(2, 10)),
      longest: 40,
    })
  })
})
