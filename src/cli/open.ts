/** Opens the store and the blob store for commands that read or copy. */
import { type BlobStore, checkBlobKey } from '../blobs/blob-store.ts'
import { type BlobsUrlOptions, blobsFromUrl } from '../from-url/blobs-from-url.ts'
import { type StoreUrlOptions, storeFromUrl } from '../from-url/store-from-url.ts'
import type { Store, StoreUse } from '../stores/store.ts'
import { type ParsedArgs, UsageError } from './command.ts'

/** Opens the store of a URL for as long as the work takes. By default it must exist, and few changes are expected. */
export async function withStore<T>(
  url: string,
  work: (store: Store) => Promise<T>,
  { brief = true, ...options }: StoreUrlOptions & StoreUse = {},
): Promise<T> {
  const store = await storeFromUrl(url, { existing: true, ...options })
  try {
    await store.open({ brief })
    return await work(store)
  } finally {
    await store.close()
  }
}

/**
 * Makes the blob store of a URL for as long as the work takes, which opens it.
 *
 * @param cure the hint for a command that names none and needs one
 */
export async function withBlobs<T>(
  url: string | undefined,
  work: (blobs: BlobStore) => Promise<T>,
  { cure, ...options }: BlobsUrlOptions & { readonly cure: string },
): Promise<T> {
  const blobs = url === undefined ? lackingBlobs(cure) : await blobsFromUrl(url, options)
  try {
    return await work(blobs)
  } finally {
    await blobs.close?.()
  }
}

/** The blob store of {@link BLOBS_OPTION}, as an option for other functions. */
export async function namedBlobs(given: ParsedArgs): Promise<{ readonly blobs?: BlobStore }> {
  const url = given.blobsUrl()
  return url === undefined ? {} : { blobs: await blobsFromUrl(url) }
}

/** Replaces a missing blob store: it refuses an operation that needs one, with the cure. */
function lackingBlobs(cure: string): BlobStore {
  const refuse = async (key: string) => {
    throw new UsageError(`The operation ${checkBlobKey(key).operation} has a blob, ${key}: ${cure}`)
  }
  return { get: refuse, put: refuse, delete: refuse, deleteAll: async () => {} }
}
