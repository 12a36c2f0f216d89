/** A blob store written outside of src, with what `waybill/adapters` exports. */
import { describe, it } from 'vitest'
import { blobStoreConformance } from 'waybill/testing'
import { memoryBlobs } from '../fixtures/adapters/blob-store.ts'

blobStoreConformance({ name: 'a blob store of your own', make: async () => memoryBlobs() }, { describe, it })
