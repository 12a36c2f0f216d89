/**
 * The Azure Storage queue as a scale trigger: each message requests one execution, and KEDA's `azure-queue` scaler starts
 * as many executions as there are messages.
 *
 * An execution receives one message, keeps it invisible while it works, and deletes it at its end. KEDA counts invisible
 * messages too and subtracts running executions, so a message must live as long as its execution. After a crash the
 * message becomes visible again within a minute and requests another execution, a limited number of times.
 */
import { type Duration, durationMs, HOUR, MINUTE, SECOND } from '../../model/duration.ts'
import { type Checks, checkOptions, duration, FUNCTION, integer, required, withMethods } from '../../model/options.ts'
import { emitWarning } from '../../util/warning.ts'
import type { ScaleTrigger } from '../scale-trigger.ts'

/** The methods of a `QueueClient` of `@azure/storage-queue` that are used. */
export interface StorageQueueClient {
  sendMessage(text: string, options: { messageTimeToLive: number }): Promise<unknown>
  peekMessages(options: { numberOfMessages: number }): Promise<{ readonly peekedMessageItems: readonly unknown[] }>
  receiveMessages(options: {
    numberOfMessages: number
    visibilityTimeout: number
  }): Promise<{ readonly receivedMessageItems: readonly QueueMessage[] }>
  updateMessage(
    id: string,
    receipt: string,
    text: string | undefined,
    visibilityTimeout: number,
  ): Promise<{ readonly popReceipt?: string }>
  deleteMessage(id: string, receipt: string): Promise<unknown>
}

/** A message that was received. */
export interface QueueMessage {
  readonly messageId: string
  readonly popReceipt: string
  readonly dequeueCount: number
}

/** Options of {@link storageQueue}. */
export interface StorageQueueOptions {
  /** How long a message stays in the queue if no execution receives it, 1 minute to 7 days. Default 1 hour. */
  readonly messageTtl?: Duration | undefined
}

/** How many messages one request can peek at, and so the most that are pending. */
const MAX_PEEKED = 32

const CLIENT = 'a QueueClient of @azure/storage-queue, passed as the first argument'
const SENDER: Checks<{ client: StorageQueueClient }> = {
  client: required(withMethods(CLIENT, 'sendMessage', 'peekMessages')),
}
const RECEIVER: Checks<{ client: StorageQueueClient }> = {
  client: required(withMethods(CLIENT, 'receiveMessages', 'updateMessage', 'deleteMessage')),
}
const QUEUE_OPTIONS: Checks<StorageQueueOptions> = {
  messageTtl: duration({ min: MINUTE, max: 7 * 24 * HOUR }),
}

/**
 * Makes a scale trigger of an Azure Storage queue. The queue must exist, and the client needs the rights to send and to
 * peek: the roles Storage Queue Data Message Sender and Storage Queue Data Reader.
 *
 * @param client a `QueueClient` of `@azure/storage-queue`
 * @throws {TypeError} for an unknown or invalid option; the message names it
 * @example
 * const client = new QueueClient('https://account.queue.core.windows.net/orders', new DefaultAzureCredential())
 * createWaybill({ operations: [orders], store, autoscale: { trigger: storageQueue(client) } })
 */
export function storageQueue(client: StorageQueueClient, options: StorageQueueOptions = {}): ScaleTrigger {
  checkOptions('storageQueue()', { client }, SENDER)
  checkOptions('storageQueue()', options, QUEUE_OPTIONS, { keep: 'messageTtl' })
  const ttlMs = durationMs('messageTtl', options.messageTtl ?? HOUR)
  return {
    async request(executions) {
      const { peekedMessageItems } = await client.peekMessages({ numberOfMessages: MAX_PEEKED })
      const missing = Math.max(0, Math.min(executions, MAX_PEEKED) - peekedMessageItems.length)
      const send = () => client.sendMessage('work', { messageTimeToLive: Math.ceil(ttlMs / SECOND) })
      await Promise.all(Array.from({ length: missing }, send))
    },
  }
}

/** Options of {@link receiveScaleRequest}. */
export interface ReceiveScaleRequestOptions {
  /** How long after a crash the message requests another execution, 30 s to 1 h. Default 1 minute. */
  readonly visibilityTimeout?: Duration | undefined
  /** How many executions may receive the same message; the next one deletes it. 1 to 1,000, default 5. */
  readonly maxDequeueCount?: number | undefined
  /** Called with what an operator should know. Default: a process warning. */
  readonly warn?: ((message: string) => void) | undefined
}

const RECEIVE_OPTIONS: Checks<ReceiveScaleRequestOptions> = {
  visibilityTimeout: duration({ min: 30 * SECOND, max: HOUR }),
  maxDequeueCount: integer(1, 1000),
  warn: FUNCTION,
}

/** The request that started this execution. */
export interface ReceivedScaleRequest {
  /** Ends the request: the backlog is drained. */
  complete(): Promise<void>
  /** Passes the request on to another execution at once: this one ends and work is left. */
  release(): Promise<void>
}

/**
 * Receives the message that started this execution, and keeps it invisible until {@link ReceivedScaleRequest.complete}
 * or {@link ReceivedScaleRequest.release} is called. It never fails: without a message or a queue the execution works
 * as usual, since the store holds the work.
 *
 * @param client a `QueueClient` with the right to receive, update and delete: the role Storage Queue Data Contributor
 * @throws {TypeError} for an unknown or invalid option; the message names it
 * @example
 * const client = new QueueClient('https://account.queue.core.windows.net/orders', new DefaultAzureCredential())
 * const request = await receiveScaleRequest(client)
 * // Work until the backlog is empty, then:
 * await request.complete()
 */
export async function receiveScaleRequest(
  client: StorageQueueClient,
  options: ReceiveScaleRequestOptions = {},
): Promise<ReceivedScaleRequest> {
  checkOptions('receiveScaleRequest()', { client }, RECEIVER)
  checkOptions('receiveScaleRequest()', options, RECEIVE_OPTIONS)
  const { maxDequeueCount = 5, warn = emitWarning } = options
  const visibilityMs = durationMs('visibilityTimeout', options.visibilityTimeout ?? MINUTE)
  const visibilitySeconds = Math.ceil(visibilityMs / SECOND)
  try {
    const request = { numberOfMessages: 1, visibilityTimeout: visibilitySeconds }
    const [message] = (await client.receiveMessages(request)).receivedMessageItems
    if (message === undefined) return NO_REQUEST
    if (message.dequeueCount <= maxDequeueCount) return new HiddenMessage(message, { client, visibilitySeconds, warn })
    warn(`${maxDequeueCount} executions received the same message and died. Deleting it; check their logs.`)
    await client.deleteMessage(message.messageId, message.popReceipt)
  } catch (error) {
    warn(`Queue unreachable; continuing without it: ${error}`)
  }
  return NO_REQUEST
}

const NO_REQUEST: ReceivedScaleRequest = { complete: async () => {}, release: async () => {} }

interface HiddenMessageSettings {
  readonly client: StorageQueueClient
  readonly visibilitySeconds: number
  readonly warn: (message: string) => void
}

/** A message that this execution keeps invisible to others. */
class HiddenMessage implements ReceivedScaleRequest {
  readonly #settings: HiddenMessageSettings
  readonly #id: string
  #receipt: string
  readonly #timer: NodeJS.Timeout
  /** The calls run one after the other: each needs the receipt of the call before. */
  #calls: Promise<void> = Promise.resolve()

  constructor({ messageId, popReceipt }: QueueMessage, settings: HiddenMessageSettings) {
    this.#id = messageId
    this.#receipt = popReceipt
    this.#settings = settings
    const { visibilitySeconds } = settings
    const everyMs = (visibilitySeconds * SECOND) / 3
    this.#timer = setInterval(() => void this.#hide(visibilitySeconds), everyMs).unref()
  }

  async complete(): Promise<void> {
    clearInterval(this.#timer)
    await this.#send(() => this.#settings.client.deleteMessage(this.#id, this.#receipt))
  }

  async release(): Promise<void> {
    clearInterval(this.#timer)
    await this.#hide(0)
  }

  #hide(visibilitySeconds: number): Promise<void> {
    return this.#send(async () => {
      const { client } = this.#settings
      const { popReceipt } = await client.updateMessage(this.#id, this.#receipt, undefined, visibilitySeconds)
      this.#receipt = popReceipt ?? this.#receipt
    })
  }

  /** A failed call only causes another execution, which finds nothing to do. */
  #send(call: () => Promise<unknown>): Promise<void> {
    this.#calls = this.#calls.then(call).then(
      () => {},
      error => this.#settings.warn(`Could not update or delete the queue message: ${error}`),
    )
    return this.#calls
  }
}
