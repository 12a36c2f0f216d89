/** The ends of delays that this process knows of: one timer for all of them, since very many operations may sleep. */
import { timerMs } from '../model/duration.ts'

/** Ends that are closer together than this are treated as one, in milliseconds. */
const STEP_MS = 10
/**
 * The shortest time between two calls, in milliseconds: if many delays end one after the other, one call handles
 * several.
 */
const PACE_MS = 200
/** How many ends are remembered. Of more, the latest are left to the polls. */
const MOST = 10_000

export class WakeUps {
  readonly #wake: () => void
  /** The ends in order, by the monotonic clock, rounded up to steps. */
  readonly #ends: number[] = []
  #timer: NodeJS.Timeout | undefined
  #nextCall = 0

  /** @param wake called when a delay has ended */
  constructor(wake: () => void) {
    this.#wake = wake
  }

  /** A delay of this many milliseconds begins now. */
  add(delayMs: number): void {
    const end = Math.ceil((performance.now() + Math.max(0, delayMs)) / STEP_MS)
    const place = this.#placeOf(end)
    if (this.#ends[place] === end || place === MOST) return
    this.#ends.splice(place, 0, end)
    this.#ends.length = Math.min(this.#ends.length, MOST)
    if (place === 0) this.#arm()
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#ends.length = 0
  }

  /** The index of the end, or where to insert it. */
  #placeOf(end: number): number {
    let [low, high] = [0, this.#ends.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#ends[middle] ?? 0) < end) low = middle + 1
      else high = middle
    }
    return low
  }

  #arm(): void {
    clearTimeout(this.#timer)
    const [first] = this.#ends
    if (first === undefined) return
    // A timer may fire a moment early.
    const left = Math.max(first * STEP_MS, this.#nextCall) - performance.now() + 1
    this.#timer = setTimeout(() => this.#ring(), timerMs(Math.max(0, left))).unref()
  }

  #ring(): void {
    const now = performance.now()
    const over = this.#placeOf(Math.floor(now / STEP_MS) + 1)
    if (over > 0) {
      this.#nextCall = now + PACE_MS
      this.#ends.splice(0, over)
      this.#wake()
    }
    this.#arm()
  }
}
