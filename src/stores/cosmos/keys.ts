/**
 * An idempotency key's item has a TTL, so that a crash before its operation is made leaves nothing behind forever. The
 * key of an operation that takes longer than that is written again, as long as the operation is not finished.
 */

import type { Operation } from '../../model/operation.ts'
import { inParallel } from '../../util/in-parallel.ts'
import type { CosmosAccess } from './access.ts'
import { isAged, keyItem, keyItemOf } from './items.ts'

/** A look costs a query, and the TTL leaves 15 days. */
const LOOK_EVERY_MS = 3_600_000
/** How many operations one look takes. */
const MOST = 10_000

export class LongKeys {
  readonly #access: CosmosAccess
  #lookedAt: number | undefined

  constructor(access: CosmosAccess) {
    this.#access = access
  }

  /** Writes the keys of operations again whose TTL could pass before they are purged; once an hour. */
  async renew(): Promise<void> {
    const now = this.#access.now()
    if (this.#lookedAt !== undefined && Math.abs(now - this.#lookedAt) < LOOK_EVERY_MS) return
    const operations = await this.#access.records('keyed', { now }, MOST)
    await inParallel(operations, operation => this.#renewOne(operation))
    this.#lookedAt = now
  }

  async #renewOne(operation: Operation): Promise<void> {
    const id = keyItemOf(operation)
    const key = id === undefined ? undefined : await this.#access.key(id)
    const now = this.#access.now()
    if (key?.item.operation !== operation.id || !isAged(key.item, now)) return
    // Another process may have written it meanwhile: that is as good.
    await this.#access.replace(keyItem(key.item.id, operation.id, operation.retention, now), key.etag)
  }
}
