/**
 * The slots of a worker, and the attempts that wait for one. A claim takes longer than a short attempt. So where
 * attempts are short, more are claimed ahead than there are free slots. They wait in the order of their claims, and not
 * for long.
 */

/**
 * The most that are claimed ahead for each slot, and in all. With more, claims are larger, and waiting attempts outlive
 * the collections of V8's young generation: with 240, a process that ran orders from SQLite used 60 MB more memory and
 * 6 % more CPU. Over a network, larger claims are better: PostgreSQL and its workers used 15 % less CPU with 240 than
 * with 128.
 */
const LOCAL = { forEach: 8, inAll: 128 }
const REMOTE = { forEach: 15, inAll: 240 }
/**
 * If the attempts of one claim take longer than this together, they do not count as short, however long a claim takes.
 * In milliseconds.
 */
const SHORT_MS = 10
/** A longer wait for a slot shows that too much is claimed ahead, in milliseconds, unless claims take half as long. */
const LONG_WAIT_MS = 20
/** An attempt that waits longer is handed back, so that another worker can take it, in milliseconds. */
const LONGEST_WAIT_MS = 1000

/** Options of {@link Slots}. */
export interface SlotsOptions {
  readonly count: number
  /** Whether attempts may be claimed ahead. */
  readonly ahead: boolean
  /** Whether a claim takes a round trip over a network. Default false. */
  readonly isRemote?: boolean | undefined
  /** The monotonic clock, in milliseconds. Default: that of the process. */
  readonly now?: () => number
}

interface Waiting {
  readonly since: number
  readonly enter: (hasSlot: boolean) => void
}

export class Slots {
  readonly #count: number
  readonly #now: () => number
  readonly #mostAhead: number
  #taken = 0
  #ahead = 0
  #waiting: Waiting[] = []
  #turn: NodeJS.Immediate | undefined
  #handingBack: NodeJS.Timeout | undefined
  /** When the last claim was answered, and when its attempts had all ended, by the monotonic clock. */
  #claimedAt = Number.NEGATIVE_INFINITY
  #idleAt = Number.NEGATIVE_INFINITY
  /** How long the last claim took, in milliseconds. */
  #claimMs = 0
  #closed = false

  constructor({ count, ahead, isRemote = false, now = () => performance.now() }: SlotsOptions) {
    this.#count = count
    this.#now = now
    const { forEach, inAll } = isRemote ? REMOTE : LOCAL
    this.#mostAhead = ahead ? Math.min(forEach * count, inAll) : 0
  }

  /** How many are free. */
  get free(): number {
    return this.#count - this.#taken
  }

  /** How many attempts may be claimed now: none until half of those that were claimed ahead have a slot. */
  get room(): number {
    const room = this.free + this.#ahead - this.#waiting.length
    return 2 * room > this.#ahead ? room : 0
  }

  /**
   * Learns from a claim how far to claim ahead: further if the claim took longer than the attempts of the claim before,
   * since then every slot was idle meanwhile. Called before the claimed attempts enter.
   *
   * @param asked when it was asked for, by the monotonic clock
   * @param isFull whether it gave all that was asked for
   */
  noteClaim(asked: number, isFull: boolean): void {
    const now = this.#now()
    this.#claimMs = now - asked
    const ranMs = this.#idleAt - this.#claimedAt
    const areShort = this.#taken === 0 && ranMs >= 0 && ranMs < Math.min(this.#claimMs, SHORT_MS)
    if (isFull && areShort) this.#ahead = Math.min(2 * this.#ahead + this.#count, this.#mostAhead)
    this.#claimedAt = now
  }

  /** Resolves when a slot is taken; false if none became free in time, or the worker stops. */
  async enter(): Promise<boolean> {
    if (this.free > 0 && this.#waiting.length === 0) {
      this.#taken++
      return true
    }
    if (this.#closed) return false
    return await new Promise(enter => {
      this.#waiting.push({ since: this.#now(), enter })
      this.#handingBack ??= setTimeout(() => this.#handBack(), LONGEST_WAIT_MS)
    })
  }

  /** Gives a slot back. */
  leave(): void {
    this.#taken--
    if (this.#taken === 0) this.#idleAt = this.#now()
    // After this turn of the event loop, so that attempts which never wait leave room for other work of this process.
    if (this.#waiting.length > 0) this.#turn ??= setImmediate(() => this.#fill())
  }

  /** Hands back all waiting attempts, and lets no more wait. */
  close(): void {
    this.#closed = true
    clearImmediate(this.#turn)
    clearTimeout(this.#handingBack)
    for (const { enter } of this.#waiting.splice(0)) enter(false)
  }

  #fill(): void {
    this.#turn = undefined
    const next = this.#waiting.splice(0, this.free)
    const waitedMs = this.#now() - (next[0]?.since ?? Number.POSITIVE_INFINITY)
    if (waitedMs > Math.max(LONG_WAIT_MS, 2 * this.#claimMs)) this.#ahead >>= 1
    this.#taken += next.length
    for (const { enter } of next) enter(true)
  }

  #handBack(): void {
    this.#handingBack = undefined
    const before = this.#now() - LONGEST_WAIT_MS
    const late = this.#waiting.filter(({ since }) => since <= before)
    if (late.length > 0) this.#ahead = 0
    this.#waiting = this.#waiting.filter(({ since }) => since > before)
    for (const { enter } of late) enter(false)
    if (this.#waiting.length > 0) this.#handingBack = setTimeout(() => this.#handBack(), LONGEST_WAIT_MS)
  }
}
