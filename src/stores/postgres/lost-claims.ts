/**
 * Claims that failed without saying whether anything was claimed, as when the connection broke before the answer came.
 * What they have claimed would be held until its lease ends, and then count as lost: so the next claim of the same
 * holder gives it back first.
 */
import type { Claim, Lease } from '../store.ts'

/** Options of {@link LostClaims}. */
export interface LostClaimsOptions {
  /** The attempts of a holder that run and began after a time of the store's clock. */
  readonly find: (holder: string, after: number) => Promise<readonly Lease[]>
  /** Hands an attempt back. */
  readonly release: (lease: Lease) => Promise<unknown>
}

interface Holder {
  /** When the newest attempt that it knows began, by the store's clock. It knows nothing of newer ones. */
  newest: number
  /** A claim of its has failed. */
  failed: boolean
  underWay: number
}

export class LostClaims {
  readonly #options: LostClaimsOptions
  /** A process has one or two of them. */
  readonly #holders = new Map<string, Holder>()

  constructor(options: LostClaimsOptions) {
    this.#options = options
  }

  /** Claims for a holder, after what an earlier claim of it has lost was given back. */
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

  /** Gives back what is left, for holders that claim no more. */
  async releaseAll(): Promise<void> {
    for (const [name, holder] of this.#holders) await this.#release(name, holder)
  }

  #holder(name: string): Holder {
    const holder = this.#holders.get(name) ?? { newest: 0, failed: false, underWay: 0 }
    this.#holders.set(name, holder)
    return holder
  }

  /** Not while another claim of it is under way: what that one has claimed is not lost. */
  async #release(name: string, holder: Holder): Promise<void> {
    if (!holder.failed || holder.underWay > 0) return
    const leases = await this.#options.find(name, holder.newest)
    await Promise.all(leases.map(lease => this.#options.release(lease)))
    holder.failed = false
  }
}
