/** The Azure Storage queue whose message started this process. */
import type { QueueClient } from '@azure/storage-queue'
import { azureCredential, load } from '../from-url/load-package.ts'
import { type ReceivedScaleRequest, receiveScaleRequest } from '../launchers/azure-storage-queue/azure-storage-queue.ts'
import { UsageError } from './command.ts'

const PACKAGES = '@azure/storage-queue @azure/identity'

/** Receives a message of the queue at the URL, or at `WAYBILL_QUEUE`. Undefined if neither is set. */
export async function receiveFromQueue(named: string | undefined): Promise<ReceivedScaleRequest | undefined> {
  const url = named || process.env.WAYBILL_QUEUE
  if (!url) return undefined
  return await receiveScaleRequest(await queueClient(url), { warn: message => console.error(message) })
}

async function queueClient(url: string): Promise<QueueClient> {
  const target = URL.parse(url)
  if (target === null || !/^https?:$/.test(target.protocol)) {
    throw new UsageError('The queue must be a URL such as https://<account>.queue.core.windows.net/<queue>.')
  }
  const { QueueClient } = await load<typeof import('@azure/storage-queue')>('@azure/storage-queue', PACKAGES)
  // A signature in the URL needs no token, and a token must not be sent over http.
  const isOpen = target.protocol === 'http:' || target.searchParams.has('sig')
  return isOpen ? new QueueClient(url) : new QueueClient(url, await azureCredential(PACKAGES))
}
