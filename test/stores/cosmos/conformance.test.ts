import { describe, it } from 'vitest'
import { type ManualClock, storeConformance } from 'waybill/testing'
import type { Store } from '../../../src/stores/store.ts'
import { cosmosAccount } from '../../support/cosmos.ts'
import type { Collection } from '../../support/cosmos-server.ts'
import { longIf } from '../../support/length.ts'
import { LONG_STORE_TESTS } from '../../support/long-store-tests.ts'

const account = cosmosAccount()
let last: Collection

function open({ now, monotonic }: ManualClock): Promise<Store> {
  // Longer than a busy machine takes for the longest queue.
  return account.store(last, { clock: now, monotonicClock: monotonic, timeout: 120_000 })
}

storeConformance(
  {
    name: 'Cosmos DB',
    open: clock => {
      last = account.container({ clock: clock.now })
      return open(clock)
    },
    loseInput: async id => {
      const item = last.find(last.partitionOf(id), id, id)
      last.replace(id, id, { ...item?.body, input: null }, undefined)
    },
    reopen: open,
  },
  { describe, it: longIf(LONG_STORE_TESTS, it) },
)
