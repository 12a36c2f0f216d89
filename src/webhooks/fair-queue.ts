/**
 * Decides which delivery is sent next. Receivers are strangers: a slow one, or thousands of deliveries to it, must not
 * delay deliveries to others. So free slots go to the owners in turn, and to the hosts of each owner in turn. A host
 * gets at most a part of the slots, an owner nearly all, and hosts whose last delivery failed share a few.
 */

/** Options of {@link FairQueue}. */
export interface FairQueueOptions {
  /** How many deliveries are sent at once. */
  readonly slots: number
  /** How many may wait here; the others wait in the store. */
  readonly room: number
}

/** Where a delivery goes, and for whom. */
export interface Destination {
  readonly owner: string
  readonly host: string
}

/** Hosts whose last delivery failed have slots of their own. */
type Slot = 'usual' | 'failing'

interface Waiting extends Destination {
  readonly go: (slot: Slot) => void
}

/** How many failing hosts are remembered. Beyond that, those that failed longest ago are forgotten. */
const MAX_FAILING = 10_000

export class FairQueue {
  readonly #most: {
    readonly slots: number
    readonly ofHost: number
    readonly ofOwner: number
    readonly ofFailing: number
    readonly waitingOfHost: number
    readonly waitingOfOwner: number
  }
  /** By owner and host, in the order of their turns. */
  readonly #waiting = new Map<string, Map<string, Waiting[]>>()
  readonly #waitingOf = new Counts()
  readonly #sendingOf = new Counts()
  readonly #failing = new Set<string>()
  #sending = 0
  #sendingToFailing = 0

  constructor({ slots, room }: FairQueueOptions) {
    this.#most = {
      slots,
      ofHost: partOf(slots, 1 / 4),
      ofOwner: partOf(slots, 3 / 4),
      ofFailing: partOf(slots, 1 / 10),
      waitingOfHost: partOf(room, 1 / 4),
      waitingOfOwner: partOf(room, 3 / 4),
    }
  }

  /**
   * Whether the limit of waiting deliveries is reached for the host or the owner. The rest of the queue is for others.
   */
  isFull({ owner, host }: Destination): boolean {
    const { waitingOfHost, waitingOfOwner } = this.#most
    return this.#waitingOf.at(hostKey(host)) >= waitingOfHost || this.#waitingOf.at(ownerKey(owner)) >= waitingOfOwner
  }

  /**
   * Sends when it is its turn.
   *
   * @param send resolves with whether the host has answered at all
   * @throws the signal's reason when it is aborted before the turn, and what `send` throws
   */
  async inTurn(to: Destination, signal: AbortSignal, send: () => Promise<boolean>): Promise<void> {
    const slot = await this.#turn(to, signal)
    try {
      signal.throwIfAborted()
      this.#remember(to.host, await send())
    } finally {
      this.#count(to, slot, -1)
      this.#next()
    }
  }

  #turn(to: Destination, signal: AbortSignal): Promise<Slot> {
    if (signal.aborted) return Promise.reject(signal.reason)
    if (this.#mayGo(to)) return Promise.resolve(this.#take(to))
    const { promise, resolve, reject } = Promise.withResolvers<Slot>()
    const leave = () => {
      this.#remove(waiting)
      reject(signal.reason)
    }
    const go = (slot: Slot) => {
      signal.removeEventListener('abort', leave)
      resolve(slot)
    }
    const waiting: Waiting = { ...to, go }
    signal.addEventListener('abort', leave, { once: true })
    this.#add(waiting)
    return promise
  }

  #mayGo({ owner, host }: Destination): boolean {
    const { slots, ofHost, ofOwner, ofFailing } = this.#most
    if (this.#sending >= slots || this.#sendingOf.at(hostKey(host)) >= ofHost) return false
    if (this.#sendingOf.at(ownerKey(owner)) >= ofOwner) return false
    return !this.#failing.has(host) || this.#sendingToFailing < ofFailing
  }

  #take(to: Destination): Slot {
    const slot = this.#failing.has(to.host) ? 'failing' : 'usual'
    this.#count(to, slot, 1)
    return slot
  }

  #count({ owner, host }: Destination, slot: Slot, by: 1 | -1): void {
    this.#sending += by
    if (slot === 'failing') this.#sendingToFailing += by
    this.#sendingOf.add(hostKey(host), by)
    this.#sendingOf.add(ownerKey(owner), by)
  }

  #remember(host: string, answered: boolean): void {
    this.#failing.delete(host)
    if (answered) return
    this.#failing.add(host)
    const [oldest] = this.#failing
    if (this.#failing.size > MAX_FAILING && oldest !== undefined) this.#failing.delete(oldest)
  }

  /** Usually starts one delivery for the free slot; more if a host that had failed has answered. */
  #next(): void {
    for (let next = this.#first(); next !== undefined; next = this.#first()) {
      this.#remove(next)
      this.#moveBack(next)
      next.go(this.#take(next))
    }
  }

  #first(): Waiting | undefined {
    for (const hosts of this.#waiting.values()) {
      const first = this.#firstOf(hosts)
      if (first !== undefined) return first
    }
    return undefined
  }

  #firstOf(hosts: ReadonlyMap<string, readonly Waiting[]>): Waiting | undefined {
    for (const [first] of hosts.values()) if (first !== undefined && this.#mayGo(first)) return first
    return undefined
  }

  #add(waiting: Waiting): void {
    const { owner, host } = waiting
    const hosts = this.#waiting.get(owner) ?? new Map<string, Waiting[]>()
    this.#waiting.set(owner, hosts.set(host, [...(hosts.get(host) ?? []), waiting]))
    this.#waitingOf.add(hostKey(host), 1)
    this.#waitingOf.add(ownerKey(owner), 1)
  }

  #remove(waiting: Waiting): void {
    const { owner, host } = waiting
    const hosts = this.#waiting.get(owner)
    const left = hosts?.get(host)?.filter(it => it !== waiting) ?? []
    if (left.length > 0) hosts?.set(host, left)
    else hosts?.delete(host)
    if (hosts?.size === 0) this.#waiting.delete(owner)
    this.#waitingOf.add(hostKey(host), -1)
    this.#waitingOf.add(ownerKey(owner), -1)
  }

  /** The other owners come first the next time. */
  #moveBack({ owner, host }: Destination): void {
    const hosts = this.#waiting.get(owner)
    if (hosts === undefined) return
    this.#waiting.delete(owner)
    this.#waiting.set(owner, hosts)
    const left = hosts.get(host)
    if (left === undefined) return
    hosts.delete(host)
    hosts.set(host, left)
  }
}

/** Counts by name; zero counts are not kept. */
class Counts {
  readonly #counts = new Map<string, number>()

  at(name: string): number {
    return this.#counts.get(name) ?? 0
  }

  add(name: string, by: number): void {
    const count = this.at(name) + by
    if (count === 0) this.#counts.delete(name)
    else this.#counts.set(name, count)
  }
}

function partOf(all: number, part: number): number {
  return Math.max(1, Math.floor(all * part))
}

function hostKey(host: string): string {
  return `host ${host}`
}

function ownerKey(owner: string): string {
  return `owner ${owner}`
}
