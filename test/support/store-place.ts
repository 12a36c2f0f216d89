/** Where a store is, so that processes of a test open the same one: a URL, or a container of the Cosmos DB server of the tests. */
import { CosmosClient } from '@azure/cosmos'
import { storeFromUrl } from 'waybill/from-url'
import { cosmosStore } from 'waybill/stores/cosmos'
import { sqliteStore } from 'waybill/stores/sqlite'
import type { Store } from '../../src/stores/store.ts'
import { ACCOUNT_KEY, DATABASE } from './cosmos-server.ts'

/** A store at a place, and what ends its client. */
export async function storeAt(place: string): Promise<{ readonly store: Store; readonly dispose: () => void }> {
  const [endpoint = '', container] = place.split('#')
  if (container === undefined) return { store: await urlStore(place), dispose: () => {} }
  const client = new CosmosClient({ endpoint, key: ACCOUNT_KEY })
  const options = { pollInterval: 20, timeout: '2m' } as const
  return {
    store: cosmosStore(client.database(DATABASE).container(container), options),
    dispose: () => client.dispose(),
  }
}

async function urlStore(url: string): Promise<Store> {
  const [, path] = /^sqlite:(.*)$/.exec(url) ?? []
  return path === undefined ? await storeFromUrl(url) : sqliteStore({ path, synchronous: 'NORMAL' })
}
