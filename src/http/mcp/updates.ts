/** What happens to a session, and to the operations behind the resources that it has subscribed to. */
import type { Operation } from '../../model/operation.ts'
import { isFinal } from '../../model/protocol.ts'
import type { Operations } from '../../service/operations.ts'
import { changesOf } from './operation-changes.ts'
import { ignoreUnknown } from './resources.ts'
import type { Subscription } from './sessions.ts'

/** What has happened. */
export type News =
  /** Its record has changed. */
  | { readonly kind: 'session' }
  | { readonly kind: 'updated'; readonly subscription: Subscription }
  | { readonly kind: 'heartbeat' }
  /** The session has ended, or its stream cannot be kept open any longer. */
  | { readonly kind: 'over' }

export class Updates {
  readonly #operations: Operations
  readonly #owner: string
  readonly #signal: AbortSignal
  readonly #followed = new Map<string, AbortController>()

  constructor(operations: Operations, owner: string, signal: AbortSignal) {
    this.#operations = operations
    this.#owner = owner
    this.#signal = signal
  }

  async *ofSession(record: Operation): AsyncGenerator<News> {
    for await (const now of changesOf(this.#operations, record, this.#signal)) {
      if (now === undefined) yield { kind: 'heartbeat' }
      else yield { kind: isFinal(now.status) ? 'over' : 'session' }
    }
    yield { kind: 'over' }
  }

  /** Follows these subscriptions and no others. Returns the news of those that were not followed before. */
  follow(subscriptions: readonly Subscription[]): readonly AsyncGenerator<News>[] {
    const wanted = new Set(subscriptions.map(keyOf))
    for (const [key, controller] of this.#followed) {
      if (wanted.has(key)) continue
      controller.abort()
      this.#followed.delete(key)
    }
    return subscriptions.filter(subscription => !this.has(subscription)).map(one => this.#begin(one))
  }

  /** Whether a subscription is followed still. */
  has(subscription: Subscription): boolean {
    return this.#followed.has(keyOf(subscription))
  }

  #begin(subscription: Subscription): AsyncGenerator<News> {
    const controller = new AbortController()
    this.#followed.set(keyOf(subscription), controller)
    return this.#ofResource(subscription, AbortSignal.any([this.#signal, controller.signal]))
  }

  async *#ofResource(subscription: Subscription, signal: AbortSignal): AsyncGenerator<News> {
    const operation = await this.#operations.find(subscription.operation, this.#owner).catch(ignoreUnknown)
    // It was deleted.
    if (operation === undefined) return yield { kind: 'updated', subscription }
    let last = operation
    for await (const now of changesOf(this.#operations, operation, signal)) {
      last = now ?? last
      if (now !== undefined && now.version > subscription.version) yield { kind: 'updated', subscription }
    }
    if (!isFinal(last.status) && !signal.aborted) yield { kind: 'over' }
  }
}

function keyOf(subscription: Subscription): string {
  return JSON.stringify(subscription)
}
