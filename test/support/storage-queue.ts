/** The REST protocol of one Azure Storage queue, as the real SDK speaks it: messages, visibility, receipts and lives. */
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { QueueClient } from '@azure/storage-queue'
import type { TestContext } from './waybill.ts'

interface Message {
  readonly id: string
  receipt: string
  dequeued: number
  /** Milliseconds, by the queue's clock. */
  visibleAt: number
  readonly expiresAt: number
}

/** A queue of this machine. */
export class LocalQueue {
  readonly messages: Message[] = []
  readonly requests: string[] = []
  /** Milliseconds by which its clock is ahead: time passes at once. */
  ahead = 0
  /** What a request is answered instead, where it is not undefined. */
  refuse: (request: IncomingMessage) => number | undefined = () => undefined
  url = ''

  get now(): number {
    return Date.now() + this.ahead
  }

  /** Those that have not expired. KEDA counts them all. */
  get living(): readonly Message[] {
    return this.messages.filter(({ expiresAt }) => expiresAt > this.now)
  }

  get visible(): readonly Message[] {
    return this.living.filter(({ visibleAt }) => visibleAt <= this.now)
  }

  /** A real client, without retries that would make a test of a queue that is away slow. */
  client(): QueueClient {
    return new QueueClient(this.url, undefined, { retryOptions: { maxTries: 1 } })
  }

  answer(request: IncomingMessage, response: ServerResponse): void {
    const { method = '', url = '' } = request
    const { pathname, searchParams: query } = new URL(url, 'http://queue')
    this.requests.push(`${method} ${query.has('peekonly') ? 'peek' : ''}`.trim())
    const refused = this.refuse(request)
    const [, , , , id] = pathname.split('/')
    if (refused !== undefined) fault(response, refused, 'ServerBusy')
    else if (id !== undefined) this.#change(method, id, query, response)
    else if (method === 'POST') send(response, 201, [this.#add(query)])
    else send(response, 200, this.#look(query))
  }

  #look(query: URLSearchParams): readonly Message[] {
    const found = this.visible.slice(0, Number(query.get('numofmessages') ?? 1))
    if (!query.has('peekonly')) for (const message of found) this.#take(message, Number(query.get('visibilitytimeout')))
    return found
  }

  #add(query: URLSearchParams): Message {
    const live = Number(query.get('messagettl')) * 1000
    const message = {
      id: randomUUID(),
      receipt: randomUUID(),
      dequeued: 0,
      visibleAt: this.now,
      expiresAt: this.now + live,
    }
    this.messages.push(message)
    return message
  }

  #take(message: Message, seconds: number): void {
    message.dequeued++
    message.receipt = randomUUID()
    message.visibleAt = this.now + seconds * 1000
  }

  #change(method: string, id: string, query: URLSearchParams, response: ServerResponse): void {
    const message = this.living.find(it => it.id === id)
    if (message?.receipt !== query.get('popreceipt')) {
      if (message === undefined) fault(response, 404, 'MessageNotFound')
      else fault(response, 400, 'PopReceiptMismatch')
      return
    }
    if (method === 'DELETE') this.messages.splice(this.messages.indexOf(message), 1)
    message.receipt = randomUUID()
    message.visibleAt = this.now + Number(query.get('visibilitytimeout')) * 1000
    const visible = new Date(message.visibleAt).toUTCString()
    response.writeHead(204, { 'x-ms-popreceipt': message.receipt, 'x-ms-time-next-visible': visible }).end()
  }
}

/** Starts a queue; it is closed with the test. */
export async function localQueue(lab: TestContext): Promise<LocalQueue> {
  const queue = new LocalQueue()
  const server = createServer((request, response) => {
    request.resume().once('end', () => queue.answer(request, response))
  }).listen(0, '127.0.0.1')
  lab.onEnd(() => {
    server.closeAllConnections()
    server.close()
  })
  await once(server, 'listening')
  queue.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/account/orders`
  return queue
}

function send(response: ServerResponse, status: number, messages: readonly Message[]): void {
  const xml = messages.map(({ id, receipt, dequeued, visibleAt, expiresAt }) => {
    const time = (ms: number) => new Date(ms).toUTCString()
    return (
      `<QueueMessage><MessageId>${id}</MessageId><InsertionTime>${time(Date.now())}</InsertionTime>` +
      `<ExpirationTime>${time(expiresAt)}</ExpirationTime><PopReceipt>${receipt}</PopReceipt>` +
      `<TimeNextVisible>${time(visibleAt)}</TimeNextVisible><DequeueCount>${dequeued}</DequeueCount>` +
      '<MessageText>work</MessageText></QueueMessage>'
    )
  })
  const body = `<?xml version="1.0" encoding="utf-8"?><QueueMessagesList>${xml.join('')}</QueueMessagesList>`
  response.writeHead(status, { 'Content-Type': 'application/xml' }).end(body)
}

function fault(response: ServerResponse, status: number, code: string): void {
  const body = `<?xml version="1.0" encoding="utf-8"?><Error><Code>${code}</Code><Message>${code}</Message></Error>`
  response.writeHead(status, { 'Content-Type': 'application/xml', 'x-ms-error-code': code }).end(body)
}
