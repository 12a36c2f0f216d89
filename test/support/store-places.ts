/** A place for a store of each kind, for tests whose processes are killed. */
import type { Store } from '../../src/stores/store.ts'
import { cosmosAccount } from './cosmos.ts'
import { atLength } from './length.ts'
import { testDatabase } from './postgres.ts'
import { storeAt } from './store-place.ts'
import type { TestContext } from './waybill.ts'

type Place = readonly [name: string, placeFor: (lab: TestContext) => string]

/** Servers that last as long as the test file, and for each kind of store what makes a place for one. */
export function storePlaces(): readonly Place[] {
  const sqlite: Place = ['SQLite', lab => `sqlite:${lab.file()}`]
  return [sqlite, ...atLength(() => [], serverPlaces)()]
}

function serverPlaces(): Place[] {
  const database = testDatabase()
  const account = cosmosAccount()
  return [
    ['PostgreSQL', () => `${database.url}?schema=${database.nextSchema()}`],
    ['Cosmos DB', () => `${account.server.endpoint}#${account.container().id}`],
  ]
}

/** An open store at a place. */
export async function openStore(lab: TestContext, place: string): Promise<Store> {
  const { store, dispose } = await storeAt(place)
  lab.onEnd(dispose)
  lab.onEnd(() => store.close())
  await store.open()
  return store
}
