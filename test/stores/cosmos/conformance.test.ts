import { describe, it } from 'vitest'
import { storeConformance } from 'waybill/testing'
import { cosmosAccount } from '../../support/cosmos.ts'
import type { Collection } from '../../support/cosmos-server.ts'

const account = cosmosAccount()
let last: Collection

storeConformance(
  {
    name: 'Cosmos DB',
    open: clock => {
      last = account.container({ clock: clock.now })
      return account.store(last, { clock: clock.now, monotonicClock: clock.monotonic })
    },
    loseInput: async id => {
      const item = last.find(last.partitionOf(id), id, id)
      last.replace(id, id, { ...item?.body, input: null }, undefined)
    },
    reopen: clock => account.store(last, { clock: clock.now, monotonicClock: clock.monotonic }),
  },
  { describe, it },
)
