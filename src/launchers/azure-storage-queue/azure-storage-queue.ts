/**
 * The Azure Storage queue as a wake-up: each message is one call for an execution, and KEDA's `azure-queue` scaler starts
 * as many executions as there are messages.
 *
 * An execution takes one message, keeps it invisible for as long as it works, and deletes it at its end. KEDA counts
 * invisible messages too, and takes running executions off, so the two must go together. After a crash the message is
 * visible again within a minute and calls for another execution, some times and not for ever.
 *
 * @example
 * const client = new QueueClient('https://account.queue.core.windows.net/orders', new DefaultAzureCredential())
 * createWaybill({ operations: [orders], store, wakeup: { by: storageQueue({ client }) } })
 */
import { type Duration, durationMs, MINUTE, SECOND } from '../../model/duration.ts'
import { type Checks, checkOptions, FUNCTION, integer, required, UNCHECKED, withMethods } from '../../model/options.ts'
import type { Wakeup } from '../scale-trigger.ts'

/** What is needed of a `QueueClient` of `@azure/storage-queue`. A test pins it to the real one. */
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
  readonly client: StorageQueueClient
  /** How long a call is kept that nobody answers, up to 7 days. Default 1 hour. */
  readonly keep?: Duration
}

/** How many messages one request can look at, and so how many wait at most. */
const LOOK = 32
const HOUR = 60 * MINUTE

const QUEUE_OPTIONS: Checks<StorageQueueOptions> = {
  client: required(withMethods('a QueueClient', 'sendMessage', 'peekMessages')),
  keep: UNCHECKED,
}

/**
 * Makes a wake-up of a queue, which has to be there. The client needs the rights to send and to peek.
 *
 * @throws {TypeError} for an unknown option, or one that cannot be right; the message names it
 */
export function storageQueue(options: StorageQueueOptions): Wakeup {
  checkOptions('storageQueue()', options, QUEUE_OPTIONS)
  const { client } = options
  const keepMs = durationMs('keep', options.keep ?? HOUR, { min: MINUTE, max: 7 * 24 * HOUR })
  return {
    async call(executions) {
      const { peekedMessageItems } = await client.peekMessages({ numberOfMessages: LOOK })
      const missing = Math.max(0, Math.min(executions, LOOK) - peekedMessageItems.length)
      const send = () => client.sendMessage('work', { messageTimeToLive: Math.ceil(keepMs / SECOND) })
      await Promise.all(Array.from({ length: missing }, send))
    },
  }
}

/** Options of {@link answerCall}. */
export interface AnswerOptions {
  readonly client: StorageQueueClient
  /** How long after a crash the message calls for another execution, 30 s to 1 h. Default 1 minute. */
  readonly visibility?: Duration
  /** How many executions a message may call for, at most; the one after that drops it. Default 5. */
  readonly attempts?: number
  /** Told of what an operator should know. */
  readonly warn?: (message: string) => void
}

const ANSWER_OPTIONS: Checks<AnswerOptions> = {
  client: required(withMethods('a QueueClient', 'receiveMessages', 'updateMessage', 'deleteMessage')),
  visibility: UNCHECKED,
  attempts: integer(1, 1000),
  warn: FUNCTION,
}

/** A call that an execution answers. */
export interface AnsweredCall {
  /** The backlog is drained: the call is over. */
  done(): Promise<void>
  /** This execution ends and work is left: the call is for another one, at once. */
  release(): Promise<void>
}

/**
 * Takes a call, and holds it until its end is told. A queue that is away, and one without a message, is no reason not to
 * work: the store says what there is to do.
 */
export async function answerCall(options: AnswerOptions): Promise<AnsweredCall> {
  checkOptions('answerCall()', options, ANSWER_OPTIONS)
  const { client, attempts = 5, warn = () => {} } = options
  const visibilityMs = durationMs('visibility', options.visibility ?? MINUTE, { min: 30 * SECOND, max: HOUR })
  const visibilityTimeout = Math.ceil(visibilityMs / SECOND)
  try {
    const { receivedMessageItems } = await client.receiveMessages({ numberOfMessages: 1, visibilityTimeout })
    const [message] = receivedMessageItems
    if (message === undefined) return NO_CALL
    if (message.dequeueCount <= attempts) return new Held(message, { client, visibilityTimeout, warn })
    warn(`A message has called for ${attempts} executions, and each has died: it is dropped. See what they logged.`)
    await client.deleteMessage(message.messageId, message.popReceipt)
  } catch (error) {
    warn(`The queue does not answer, and it is worked without: ${error}`)
  }
  return NO_CALL
}

const NO_CALL: AnsweredCall = { done: async () => {}, release: async () => {} }

interface Holding {
  readonly client: StorageQueueClient
  /** Seconds. */
  readonly visibilityTimeout: number
  readonly warn: (message: string) => void
}

/** A message that is kept from others. */
class Held implements AnsweredCall {
  readonly #holding: Holding
  readonly #id: string
  #receipt: string
  readonly #timer: NodeJS.Timeout
  /** One request after the other: each needs the receipt of the one before. */
  #requests: Promise<void> = Promise.resolve()

  constructor({ messageId, popReceipt }: QueueMessage, holding: Holding) {
    this.#id = messageId
    this.#receipt = popReceipt
    this.#holding = holding
    const everyMs = (holding.visibilityTimeout * SECOND) / 3
    this.#timer = setInterval(() => void this.#hide(holding.visibilityTimeout), everyMs).unref()
  }

  async done(): Promise<void> {
    clearInterval(this.#timer)
    await this.#request(() => this.#holding.client.deleteMessage(this.#id, this.#receipt))
  }

  async release(): Promise<void> {
    clearInterval(this.#timer)
    await this.#hide(0)
  }

  #hide(visibilityTimeout: number): Promise<void> {
    return this.#request(async () => {
      const { client } = this.#holding
      const { popReceipt } = await client.updateMessage(this.#id, this.#receipt, undefined, visibilityTimeout)
      this.#receipt = popReceipt ?? this.#receipt
    })
  }

  /** What fails costs an execution that finds nothing to do. */
  #request(send: () => Promise<unknown>): Promise<void> {
    this.#requests = this.#requests.then(send).then(
      () => {},
      error => this.#holding.warn(`The message cannot be kept or deleted: ${error}`),
    )
    return this.#requests
  }
}
