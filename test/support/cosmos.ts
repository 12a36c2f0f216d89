/** Stores on the Cosmos DB server of the tests, through the real SDK. */
import { CosmosClient } from '@azure/cosmos'
import { afterAll, beforeAll } from 'vitest'
import { type CosmosStoreOptions, cosmosStore } from 'waybill/stores/cosmos'
import type { Store } from '../../src/stores/store.ts'
import type { CollectionOptions } from './cosmos-server/collection.ts'
import { ACCOUNT_KEY, type Collection, CosmosServer, DATABASE } from './cosmos-server.ts'

/** A server that lasts as long as the test file. */
export function cosmosAccount(): CosmosAccount {
  const account = new CosmosAccount()
  beforeAll(() => account.start())
  afterAll(() => account.stop())
  return account
}

export class CosmosAccount {
  #server: CosmosServer | undefined
  #clients: CosmosClient[] = []
  #stores: Store[] = []
  #count = 0

  get server(): CosmosServer {
    if (this.#server === undefined) throw new Error('The server has not been started.')
    return this.#server
  }

  async start(): Promise<void> {
    this.#server = await CosmosServer.start()
  }

  async stop(): Promise<void> {
    await this.closeStores()
    for (const client of this.#clients) client.dispose()
    await this.#server?.close()
  }

  /** A container of its own. */
  container(options: Partial<CollectionOptions> = {}): Collection {
    return this.server.add({ id: `operations-${++this.#count}`, ...options })
  }

  /** An open store on a container, with a client of its own, as another process would have. */
  async store({ id }: Collection, options: CosmosStoreOptions = {}): Promise<Store> {
    const client = new CosmosClient({ endpoint: this.server.endpoint, key: ACCOUNT_KEY })
    this.#clients.push(client)
    const store = cosmosStore(client.database(DATABASE).container(id), { pollInterval: 20, timeout: '2m', ...options })
    this.#stores.push(store)
    await store.open()
    return store
  }

  async closeStores(): Promise<void> {
    for (const store of this.#stores.splice(0)) await store.close()
  }
}
