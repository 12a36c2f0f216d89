/** Opens blob stores by their URLs, as `store-from-url.ts` does for stores. */
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { azureBlobs } from '../blobs/azure/azure.ts'
import type { BlobStore } from '../blobs/blob-store.ts'
import { folderBlobs } from '../blobs/folder/folder.ts'
import { postgresBlobs } from '../blobs/postgres/postgres.ts'
import { azureCredential, load } from './load-package.ts'
import { connectPostgres, redactUnreadable, UrlError, withClose } from './urls.ts'

/** Options of {@link blobsFromUrl}. */
export interface BlobsUrlOptions {
  /**
   * Fails if the folder, or the tables in the schema of PostgreSQL, do not exist, instead of making them. The tables
   * are checked when the blob store is opened. Default false.
   */
  readonly existing?: boolean | undefined
}

const FORMS =
  'folder:<path>, postgres://<user>@<host>/<database> or azure:https://<account>.blob.core.windows.net/<container>'
const AZURE_PACKAGES = '@azure/storage-blob @azure/identity'

/**
 * Makes the blob store that a URL names, and the client it needs, which is closed with it. Nothing is sent before it
 * is opened.
 *
 * | URL | blob store |
 * |---|---|
 * | `folder:./data/results` | a folder, from the working directory |
 * | `postgres://user@host/database?schema=waybill` | tables beside the store's, by the package `pg` |
 * | `azure:https://account.blob.core.windows.net/container` | Azure Blob Storage, by `@azure/storage-blob` and `@azure/identity` |
 *
 * Azure is accessed with the signature in the URL (`?sv=…&sig=…`), else with the account's key if `AZURE_STORAGE_KEY`
 * is set, as for emulators, else with `DefaultAzureCredential`.
 *
 * @throws {TypeError} when it is not such a URL; the message says what it may be, and never holds a secret
 * @throws when a package is not installed; the message says how to install it
 *
 * @example
 * const blobs = await blobsFromUrl('folder:./results')
 */
export async function blobsFromUrl(url: string, { existing = false }: BlobsUrlOptions = {}): Promise<BlobStore> {
  if (/^folder:./.test(url)) return openFolder(url.slice('folder:'.length), existing)
  const target = URL.parse(url.replace(/^azure:/, ''))
  if (target !== null && /^azure:https?:/.test(url) && isContainer(target)) return await openAzure(target)
  if (target !== null && /^postgres(ql)?:\/\//.test(url)) return await openPostgres(target, existing)
  throw new UrlError(`"${redactUnreadable(url)}" is not the URL of a blob store: write ${FORMS}.`)
}

function openFolder(path: string, existing: boolean): BlobStore {
  if (existing && !existsSync(path)) {
    throw new Error(`There is no folder ${resolve(path)}: check the path after "folder:".`)
  }
  return folderBlobs({ path })
}

async function openPostgres(target: URL, existing: boolean): Promise<BlobStore> {
  const { pool, options } = await connectPostgres(target)
  return withClose(postgresBlobs(pool, { ...options, migrate: !existing }), () => pool.end())
}

/** The last part is the container. If a host has several accounts, as an emulator does, the account comes before it. */
function isContainer({ hostname, pathname }: URL): boolean {
  const parts = pathname.split('/').filter(Boolean).length
  return parts === 1 || (parts === 2 && !hostname.includes('.blob.'))
}

async function openAzure(target: URL): Promise<BlobStore> {
  const storage = await load<typeof import('@azure/storage-blob')>('@azure/storage-blob', AZURE_PACKAGES)
  const { ContainerClient, StorageSharedKeyCredential } = storage
  const open = new ContainerClient(target.href)
  if (target.searchParams.has('sig')) return azureBlobs(open)
  const key = process.env.AZURE_STORAGE_KEY
  const credential = key ? new StorageSharedKeyCredential(open.accountName, key) : await azureCredential(AZURE_PACKAGES)
  return azureBlobs(new ContainerClient(target.href, credential))
}
