/**
 * `resources/subscribe` and `resources/unsubscribe` of the earlier revisions, and the stream that a client opens with GET
 * and that sends it the updates. Any process may receive any of these requests.
 */
import { randomUUID } from 'node:crypto'
import type { Operations } from '../../service/operations.ts'
import type { HttpRequest } from '../message.ts'
import { sessionId } from './envelope.ts'
import { CODES, type Members, notification, RpcError, stringParam } from './json-rpc.ts'
import { Merged } from './operation-changes.ts'
import { HEARTBEAT_MS, type McpRequest } from './request.ts'
import { RESOURCE_UPDATED, type Resources } from './resources.ts'
import type { Session, SessionKey, Sessions, Subscription } from './sessions.ts'
import { type News, Updates } from './updates.ts'

/** The messages of a stream; undefined for a heartbeat. */
export type SessionStream = AsyncGenerator<Members | undefined>

/** How many resources a session may subscribe to at once. */
const MAX_SUBSCRIPTIONS = 100
/** The longest URI, in characters. */
const MAX_URI_LENGTH = 2048

export class SessionStreams {
  readonly #operations: Operations
  readonly #resources: Resources
  readonly #sessions: Sessions

  constructor(operations: Operations, resources: Resources, sessions: Sessions) {
    this.#operations = operations
    this.#resources = resources
    this.#sessions = sessions
  }

  /** `resources/subscribe` */
  async subscribe({ params, http }: McpRequest): Promise<Members> {
    const key = keyOf(http)
    const uri = stringParam(params, 'uri')
    const found = uri.length > MAX_URI_LENGTH ? undefined : await this.#resources.find(uri, http)
    if (found === undefined) throw unknownResource(uri)
    const subscription: Subscription = { uri, operation: found.id, version: found.version }
    await this.#sessions.act(key, ({ subscriptions }) => {
      if (subscriptions.get(uri)?.operation === found.id) return undefined
      if (subscriptions.size >= MAX_SUBSCRIPTIONS && !subscriptions.has(uri)) throw tooMany()
      return { kind: 'subscribe', subscription }
    })
    return {}
  }

  /** `resources/unsubscribe`. A URI without a subscription is acknowledged too. */
  async unsubscribe({ params, http }: McpRequest): Promise<Members> {
    const key = keyOf(http)
    const uri = stringParam(params, 'uri')
    if ((await this.#sessions.find(key)) === undefined) return {}
    await this.#sessions.act(key, ({ subscriptions }) =>
      subscriptions.has(uri) ? { kind: 'unsubscribe', uri } : undefined,
    )
    return {}
  }

  /**
   * The stream of a session. It begins with the updates since each subscription, because nobody knows which of them an
   * earlier stream has delivered.
   *
   * @throws {RpcError} 404 if the session has ended
   */
  async open(http: HttpRequest): Promise<SessionStream> {
    const key = keyOf(http)
    const session = await this.#sessions.find(key)
    return this.#messages(key, session, http)
  }

  async *#messages(key: SessionKey, known: Session | undefined, { signal }: HttpRequest): SessionStream {
    const session = known ?? (yield* this.#firstSubscription(key, signal))
    if (session === undefined) return
    const stream = randomUUID()
    await this.#sessions.act(key, now => (now.stream === stream ? undefined : { kind: 'stream', stream }))
    const updates = new Updates(this.#operations, key.owner, signal)
    const news = new Merged([updates.ofSession(session.record)])
    try {
      yield* this.#report(news, updates, () => this.#subscriptionsFor(stream, key))
    } finally {
      updates.follow([])
    }
  }

  async *#report(news: Merged<News>, updates: Updates, wanted: () => Promise<readonly Subscription[]>): SessionStream {
    for await (const item of news.values()) {
      if (item.kind === 'over') return
      if (item.kind === 'session') news.add(...updates.follow(await wanted()))
      yield item.kind === 'updated' && updates.has(item.subscription) ? updated(item.subscription) : undefined
    }
  }

  /**
   * What a stream reports on. That is nothing once there is a newer one, because each message is sent on one stream
   * only. The older stream stays open: its client would open it again.
   */
  async #subscriptionsFor(stream: string, key: SessionKey): Promise<readonly Subscription[]> {
    const session = await this.#sessions.find(key)
    return session?.stream === stream ? [...session.subscriptions.values()] : []
  }

  /** Waits until the client subscribes to something; undefined if it has left, or the server is shutting down. */
  async *#firstSubscription(
    key: SessionKey,
    signal: AbortSignal,
  ): AsyncGenerator<undefined, Session | undefined, undefined> {
    while (!signal.aborted) {
      const patience = { ms: HEARTBEAT_MS, signal, mayAppear: true }
      const { waited } = await this.#operations.wait(key, () => true, patience)
      if (!waited) return undefined
      const session = await this.#sessions.find(key)
      if (session !== undefined) return session
      yield undefined
    }
    return undefined
  }
}

function updated({ uri }: Subscription): Members {
  return notification(RESOURCE_UPDATED, { uri })
}

function keyOf({ headers, owner }: HttpRequest): SessionKey {
  const id = sessionId({ headers })
  if (id !== undefined) return { id, owner }
  const detail = 'The header Mcp-Session-Id must have the value that "initialize" returned.'
  throw new RpcError(CODES.invalidRequest, detail, { status: 400 })
}

function unknownResource(uri: string): RpcError {
  return new RpcError(CODES.resourceNotFound, 'There is no such resource of this caller.', { data: { uri } })
}

function tooMany(): RpcError {
  return new RpcError(CODES.invalidParams, `A session may subscribe to ${MAX_SUBSCRIPTIONS} resources at once.`)
}
