/**
 * An idempotency key's item has a TTL, so that a crash before its operation is created leaves no item forever. If an
 * operation takes longer than the TTL, its key is written again until the operation has finished.
 */

import type { Operation } from '../../model/operation.ts'
import { inParallel } from '../../util/in-parallel.ts'
import type { CosmosAccess } from './access.ts'
import { isAged, keyItem, keyItemOf } from './items.ts'

/** An hour is often enough, since the TTL leaves 15 days, and each look costs a query. */
const LOOK_EVERY_MS = 3_600_000
/** How many operations one look finds at most. */
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
    // If another process has written it meanwhile, nothing is left to do.
    await this.#access.replace(keyItem(key.item.id, operation.id, operation.retention, now), key.etag)
  }
}
