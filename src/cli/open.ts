/** How commands that only look, or move things, have a store. */
import type { Store } from '../store.ts'
import { storeFromUrl } from './store.ts'

/** Opens the store of a URL, which must be there, for as long as the work takes. */
export async function withStore<T>(url: string, work: (store: Store) => Promise<T>, existing = true): Promise<T> {
  const store = await storeFromUrl(url, { existing })
  try {
    await store.open()
    return await work(store)
  } finally {
    await store.close()
  }
}
