/** Opens stores and blob stores by their URLs, as the command line does. */
export { type BlobsUrlOptions, blobsFromUrl } from './blobs-from-url.ts'
export { type StoreUrlOptions, storeFromUrl } from './store-from-url.ts'
export { redactUrl } from './urls.ts'
