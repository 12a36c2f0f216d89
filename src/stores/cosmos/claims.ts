/**
 * Takes ready operations from the queue without locks. A query returns candidates in the order of the queue, and a
 * conditional write of each decides who gets it. A single worker takes the first ones. A worker that has recently lost
 * candidates to others chooses at random among more of them, so that many workers do not compete for the same item.
 */
import { inParallel } from '../../util/in-parallel.ts'
import type { CosmosAccess } from './access.ts'
import { type OperationItem, type Tagged, within } from './items.ts'

/** Claims one candidate; undefined if another process was faster. */
export type Begin = (candidate: Tagged<OperationItem>) => Promise<OperationItem | undefined>

/** The most candidates of one query. */
const MOST_CANDIDATES = 200
/** After losses, the choice is among at most this many times the wanted number of candidates. */
const WIDEST = 32
/**
 * After a claim without a loss, the choice becomes narrower by this factor. That is slow, since recent competitors are
 * probably still there.
 */
const NARROWING = 0.85

export class Claims {
  readonly #access: CosmosAccess
  #spread = 1
  #turn: Promise<void> = Promise.resolve()

  constructor(access: CosmosAccess) {
    this.#access = access
  }

  /** Takes from the queue of each type in turn, one call at a time, so that a process never competes with itself. */
  async take(types: readonly { type: string; limit: number }[], limit: number, begin: Begin): Promise<OperationItem[]> {
    const before = this.#turn
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#turn = promise
    await before
    const taken: OperationItem[] = []
    try {
      for (const { type, limit: most } of types) {
        await this.#takeOf(type, taken, Math.min(taken.length + most, limit), begin)
      }
      return taken
    } catch (error) {
      // What has been taken is already claimed: after a rejection it would be blocked until its lease expires.
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
      // A candidate that was tried before and is returned again comes from a replica that lags: trying it again is
      // useless.
      const pool = found.filter(({ item }) => !tried.has(item.id))
      more = found.length === wanted && pool.length > 0
      for (const { item } of await this.#takeFrom(pool, taken, until, begin)) tried.add(item.id)
      more ||= pool.length > 0
    }
  }

  /**
   * Tries candidates, and removes them from the pool. It stops once most of a try were lost: then the others are mostly
   * taken too, and a new query costs less than trying all of them.
   *
   * @returns those that were tried
   */
  async #takeFrom(
    pool: Tagged<OperationItem>[],
    taken: OperationItem[],
    until: number,
    begin: Begin,
  ): Promise<Tagged<OperationItem>[]> {
    const tried: Tagged<OperationItem>[] = []
    for (let areMostLost = false; !areMostLost && pool.length > 0 && taken.length < until; ) {
      const chosen = this.#choose(pool, until - taken.length)
      tried.push(...chosen)
      areMostLost = (await this.#tryEach(chosen, taken, begin)) <= chosen.length / 2
    }
    return tried
  }

  async #candidates(type: string, wanted: number): Promise<Tagged<OperationItem>[]> {
    return await this.#access.items('ready', { ...within([type]), now: this.#access.now() }, wanted)
  }

  /** Tries each candidate, and returns how many were claimed. */
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

  /** Chooses candidates and removes them from the pool. They stay in the order of the queue. */
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
