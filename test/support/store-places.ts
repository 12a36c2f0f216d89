/** A place for a store of each kind, for tests whose processes are killed. */
import type { Store } from '../../src/stores/store.ts'
import { cosmosAccount } from './cosmos.ts'
import { atLength } from './length.ts'
import { testDatabase } from './postgres.ts'
import { storeAt } from './store-place.ts'
import type { TestContext } from './waybill.ts'

/** Servers that last as long as the test file, and for each kind of store what makes a place for one. */
export function storePlaces(): readonly (readonly [name: string, placeFor: (lab: TestContext) => string])[] {
  const database = testDatabase()
  const account = cosmosAccount()
  const sqlite = ['SQLite', (lab: TestContext) => `sqlite:${lab.file()}`] as const
  const postgres = ['PostgreSQL', () => `${database.url}?schema=${database.nextSchema()}`] as const
  const cosmos = ['Cosmos DB', () => `${account.server.endpoint}#${account.container().id}`] as const
  return atLength([sqlite], [sqlite, postgres, cosmos])
}

/** An open store at a place. */
export async function openStore(lab: TestContext, place: string): Promise<Store> {
  const { store, dispose } = await storeAt(place)
  lab.onEnd(dispose)
  lab.onEnd(() => store.close())
  await store.open()
  return store
}
