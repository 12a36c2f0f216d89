/**
 * Taking ready operations from the queue, without locks: a query shows candidates in the order of the queue, and a
 * conditional write of each decides. A lone worker takes the first ones. A worker that has lost some lately picks at
 * random among more of them, so that many claimers do not fight for the same item.
 */
import { inParallel } from '../../util/in-parallel.ts'
import type { CosmosAccess } from './access.ts'
import { type OperationItem, type Tagged, within } from './items.ts'

/** Makes one candidate ours; undefined where another was faster. */
export type Begin = (candidate: Tagged<OperationItem>) => Promise<OperationItem | undefined>

/** The most candidates of one query. */
const MOST_CANDIDATES = 200
/** After losses, the choice is among at most this multiple of the wanted number. */
const WIDEST = 32
/** Claims without a loss make the choice narrower again, slowly: rivals that were there lately still are. */
const NARROWING = 0.85

export class Claims {
  readonly #access: CosmosAccess
  #spread = 1
  #turn: Promise<void> = Promise.resolve()

  constructor(access: CosmosAccess) {
    this.#access = access
  }

  /** Takes from the queue of each type in turn. One call at a time, so that a process is never its own rival. */
  async take(types: readonly { type: string; limit: number }[], limit: number, begin: Begin): Promise<OperationItem[]> {
    const before = this.#turn
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#turn = promise
    await before
    const taken: OperationItem[] = []
    try {
      for (const { type, limit: most } of types) {
        const room = Math.min(most, limit - taken.length)
        if (room > 0) await this.#takeOf(type, taken, taken.length + room, begin)
      }
      return taken
    } catch (error) {
      // What has been taken is ours: to reject now would have it lie about until its lease runs out.
      if (taken.length === 0) throw error
      return taken
    } finally {
      resolve()
    }
  }

  /** Adds to `taken` until it has the wanted number. */
  async #takeOf(type: string, taken: OperationItem[], until: number, begin: Begin): Promise<void> {
    const tried = new Set<string>()
    for (let more = true; more && taken.length < until; ) {
      const wanted = Math.min(Math.ceil((until - taken.length) * this.#spread), MOST_CANDIDATES)
      const found = await this.#candidates(type, wanted)
      // What was tried before and is shown again comes from a replica that lags: there is nothing new in it.
      const pool = found.filter(({ item }) => !tried.has(item.id))
      more = found.length === wanted && pool.length > 0
      while (pool.length > 0 && taken.length < until) {
        const chosen = this.#choose(pool, until - taken.length)
        for (const { item } of chosen) tried.add(item.id)
        if ((await this.#tryEach(chosen, taken, begin)) > chosen.length / 2) continue
        // Mostly lost: the rest of what the query showed is mostly gone too, and to look again costs less than to try it all.
        more ||= pool.length > 0
        break
      }
    }
  }

  async #candidates(type: string, wanted: number): Promise<Tagged<OperationItem>[]> {
    return await this.#access.items('ready', { ...within([type]), now: this.#access.now() }, wanted)
  }

  /** How many were won. */
  async #tryEach(candidates: readonly Tagged<OperationItem>[], taken: OperationItem[], begin: Begin): Promise<number> {
    const tries = await inParallel(candidates, candidate =>
      begin(candidate).then(
        item => ({ item }),
        (error: unknown) => ({ error }),
      ),
    )
    const begun = tries.flatMap(it => ('item' in it && it.item !== undefined ? [it.item] : []))
    taken.push(...begun)
    this.#adapt(begun.length, candidates.length)
    for (const it of tries) if ('error' in it) throw it.error
    return begun.length
  }

  #adapt(won: number, tried: number): void {
    const factor = won === tried ? NARROWING : won === 0 ? 4 : 2
    this.#spread = Math.max(1, Math.min(this.#spread * factor, WIDEST))
  }

  /** Removes the chosen ones from the pool; they stay in the order of the queue. */
  #choose(pool: Tagged<OperationItem>[], room: number): Tagged<OperationItem>[] {
    let among = Math.min(pool.length, Math.ceil(room * this.#spread))
    const chosen: Tagged<OperationItem>[] = []
    for (let at = 0; at < among && chosen.length < room; ) {
      // The probabilities make every choice of that number equally likely.
      if (Math.random() * (among - at) < room - chosen.length) {
        chosen.push(...pool.splice(at, 1))
        among--
      } else at++
    }
    return chosen
  }
}
