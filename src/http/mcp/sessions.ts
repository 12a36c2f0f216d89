/**
 * What a session of an earlier revision has subscribed to. The client sends its subscriptions to any process, and
 * another process may hold its stream; so they are kept in the store, in an operation whose id is that of the session.
 * No worker runs it: it waits for its deadline, and what the client does are its events, numbered from 1. Of two events
 * with the same number the store takes the first one, so every process reads the same order.
 */
import type { Operation } from '../../model/operation.ts'
import { defineOperation } from '../../model/operation-type.ts'
import { isFinal } from '../../model/protocol.ts'
import { toSubmission } from '../../model/submit-request.ts'
import { type WaitEnd, waitStep } from '../../model/waits.ts'
import { SESSION_TYPE } from '../../operator/internal-types.ts'
import { orUnavailable } from '../../service/unavailable.ts'
import type { OperationStore } from '../../stores/store.ts'
import { CODES, RpcError } from './json-rpc.ts'

/** The operations of sessions that have subscribed to a resource. */
const TYPE = defineOperation({ name: SESSION_TYPE, deadline: 0 })

/** How long after its first subscription a session ends. */
const LIFE = '7d'

/** How many sessions with subscriptions a caller may have at once, unless all callers are the same to this server. */
const MAX_SESSIONS = 1000

/** A resource that a session has subscribed to. */
export interface Subscription {
  readonly uri: string
  /** The operation behind it. */
  readonly operation: string
  /** The version of that operation when the client subscribed. */
  readonly version: number
}

/** What a client does. */
export type Act =
  | { readonly kind: 'subscribe'; readonly subscription: Subscription }
  | { readonly kind: 'unsubscribe'; readonly uri: string }
  /** It has opened a stream, which gets the messages from now on. */
  | { readonly kind: 'stream'; readonly stream: string }

/** The record of a session, and what the acts so far amount to. */
export interface Session {
  readonly record: Operation
  readonly acts: number
  /** By their URIs. */
  readonly subscriptions: ReadonlyMap<string, Subscription>
  /** The stream that was opened last. */
  readonly stream: string | undefined
}

/** Whose session it is. */
export interface SessionKey {
  /** A UUID. */
  readonly id: string
  readonly owner: string
}

export class Sessions {
  readonly #store: Pick<OperationStore, 'accept' | 'read' | 'steps' | 'change'>

  constructor(store: Pick<OperationStore, 'accept' | 'read' | 'steps' | 'change'>) {
    this.#store = store
  }

  /**
   * Reads a session; undefined if it has not subscribed to anything yet.
   *
   * @throws {RpcError} 404 if it has ended, or belongs to another caller
   */
  async find({ id, owner }: SessionKey): Promise<Session | undefined> {
    const record = await orUnavailable(this.#store.read(id))
    if (record === undefined) return undefined
    checkOpen(record, owner)
    return toSession(record, await orUnavailable(this.#store.steps(id)))
  }

  /** Records what a client does, and creates the session if necessary. `decide` may be called several times. */
  async act(key: SessionKey, decide: (session: Session) => Act | undefined): Promise<void> {
    let last = -1
    for (;;) {
      const session = (await this.find(key)) ?? (await this.#create(key))
      const act = decide(session)
      if (act === undefined) return
      // Nobody else has acted since, so the act was refused because the time is over or the record is full.
      if (session.acts === last) throw sessionEnded()
      last = session.acts
      const change = { kind: 'event', name: String(last + 1), value: JSON.stringify(act) } as const
      if ((await orUnavailable(this.#store.change(key.id, change))) !== undefined) return
    }
  }

  /** Another process may have created it at the same moment, for this caller or another one. */
  async #create({ id, owner }: SessionKey): Promise<Session> {
    const submission = toSubmission(TYPE, { input: null, owner, delay: LIFE }, null)
    const limits = owner === '' ? undefined : { inFlight: MAX_SESSIONS }
    const acceptance = await orUnavailable(this.#store.accept({ ...submission, id, limits }))
    if (acceptance.kind === 'refused') throw tooManySessions()
    const record = acceptance.operation
    checkOpen(record, owner)
    return { record, acts: 0, subscriptions: new Map(), stream: undefined }
  }
}

/** @throws {RpcError} 404 if it is not a session of this caller that has not ended */
function checkOpen({ type, owner, status }: Operation, caller: string): void {
  if (type !== TYPE.name || owner !== caller || isFinal(status)) throw sessionEnded()
}

function toSession(record: Operation, steps: ReadonlyMap<string, string>): Session {
  const subscriptions = new Map<string, Subscription>()
  let stream: string | undefined
  let acts = 0
  for (let text = steps.get(waitStep('1')); text !== undefined; text = steps.get(waitStep(String(acts + 1)))) {
    acts++
    const act = (JSON.parse(text) as WaitEnd).value as Act
    if (act.kind === 'subscribe') subscriptions.set(act.subscription.uri, act.subscription)
    else if (act.kind === 'unsubscribe') subscriptions.delete(act.uri)
    else stream = act.stream
  }
  return { record, acts, subscriptions, stream }
}

function tooManySessions(): RpcError {
  return new RpcError(CODES.invalidParams, `A caller may have ${MAX_SESSIONS} sessions with subscriptions at once.`)
}

/** The client must begin a new session then. */
function sessionEnded(): RpcError {
  return new RpcError(CODES.invalidRequest, 'The session has ended. Begin a new one with "initialize".', {
    status: 404,
  })
}
