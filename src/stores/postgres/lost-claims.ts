/**
 * Handles claims that failed without an answer, such as when the connection broke. What they may have claimed would be
 * blocked until its lease ends, and then count as a lost attempt. So the next claim of the same holder hands it back
 * first.
 */
import type { Claim, Lease } from '../store.ts'

/** Options of {@link LostClaims}. */
export interface LostClaimsOptions {
  /** Finds the running attempts of a holder that began after a time of the store's clock. */
  readonly find: (holder: string, after: number) => Promise<readonly Lease[]>
  /** Hands an attempt back. */
  readonly release: (lease: Lease) => Promise<unknown>
}

interface Holder {
  /** When the newest attempt that it knows began, by the store's clock. It knows nothing of newer ones. */
  newest: number
  /** Whether a claim of the holder has failed. */
  failed: boolean
  underWay: number
}

export class LostClaims {
  readonly #options: LostClaimsOptions
  /** The holders by name; a process has one or two. */
  readonly #holders = new Map<string, Holder>()

  constructor(options: LostClaimsOptions) {
    this.#options = options
  }

  /** Claims for a holder. First hands back what an earlier failed claim of it had claimed. */
  async claim(name: string, claim: () => Promise<Claim[]>): Promise<Claim[]> {
    const holder = this.#holder(name)
    await this.#release(name, holder)
    holder.underWay++
    try {
      const claims = await claim()
      holder.newest = Math.max(holder.newest, ...claims.map(({ operation }) => operation.attemptStartedAt ?? 0))
      return claims
    } catch (error) {
      holder.failed = true
      throw error
    } finally {
      holder.underWay--
    }
  }

  /** Hands back what is left, for holders that make no further claims. */
  async releaseAll(): Promise<void> {
    for (const [name, holder] of this.#holders) await this.#release(name, holder)
  }

  #holder(name: string): Holder {
    const holder = this.#holders.get(name) ?? { newest: 0, failed: false, underWay: 0 }
    this.#holders.set(name, holder)
    return holder
  }

  /** Does nothing while another claim of the holder is under way: what that one has claimed is not lost. */
  async #release(name: string, holder: Holder): Promise<void> {
    if (!holder.failed || holder.underWay > 0) return
    const leases = await this.#options.find(name, holder.newest)
    await Promise.all(leases.map(lease => this.#options.release(lease)))
    holder.failed = false
  }
}
