/**
 * Operation types that are paused: their operations stay in the queue, and nothing claims them. A pause is an operation
 * itself: its type has no handler, and a tag names the paused type. So a pause is as durable as every operation, and
 * stores need no code for it. A cancel ends the pause.
 *
 * Each process reads the pauses when a hint says that one may have begun or ended, and from time to time.
 */
import { fingerprint } from '../model/json.ts'
import type { Operation } from '../model/operation.ts'
import { type AnyOperationType, defineOperation } from '../model/operation-type.ts'
import { Loop } from '../util/loop.ts'
import { PacedTask } from '../util/paced-task.ts'
import { type LookStore, SharedLook } from './shared-look.ts'
import type { Claim, ClaimRequest, Hint, HintNeed, OperationStore, ReserveRequest, Store } from './store.ts'

/** The operation type of pauses. */
export const PAUSES: AnyOperationType = defineOperation({ name: 'operator-pauses', retention: '90d' })
/** The owner of all pauses, and of what operators do. */
export const OPERATOR = ''
/** The tag that names the paused type. */
const TAG = 'type'

/** How long a process may miss a pause if no hint arrives, in milliseconds. */
const EVERY_MS = 5000
/** The pace of reads, since hints that do not say what changed may be frequent. */
const PACE = { everyMs: 200, share: 0.02 }
/** The most pauses that are read. */
const MOST = 1000

/** Lists the pauses that are in effect. */
export async function listPauses(store: Pick<OperationStore, 'list'>): Promise<readonly Operation[]> {
  return await store.list({ type: PAUSES.name, owner: OPERATOR, status: 'pending', limit: MOST })
}

/** The type that a pause stops. */
export function pausedType({ tags }: Pick<Operation, 'tags'>): string {
  return tags?.[TAG] ?? ''
}

/** The tags of a pause of a type. */
export function pauseTags(type: string): Record<string, string> {
  return { [TAG]: type }
}

export class PausedTypes {
  readonly #store: Pick<Store, 'list'> & LookStore
  readonly #loop: Loop
  readonly #look: SharedLook
  readonly #reading = new PacedTask(() => this.#loop.wake(), PACE)
  /** From the id of a pause to the paused type. */
  #pauses: ReadonlyMap<string, string> = new Map()
  #types: ReadonlySet<string> = new Set()
  readonly #listeners = new Set<(hint: Hint) => void>()
  #unwatch: () => void = () => {}

  constructor(store: Pick<Store, 'list'> & LookStore, onError: (error: unknown, loop: string) => void) {
    this.#store = store
    this.#loop = new Loop({ name: 'pauses', everyMs: EVERY_MS, turn: () => this.#turn(), onError })
    this.#look = new SharedLook(store, this.#loop)
  }

  /** The loops, for health checks. */
  get loops(): readonly Loop[] {
    return [this.#loop]
  }

  /** The types that are paused, as far as this process knows. */
  get types(): ReadonlySet<string> {
    return this.#types
  }

  /** Reads the pauses. When it resolves, all of them are known. */
  async start(): Promise<void> {
    this.#unwatch = this.#store.watch(hint => this.#hinted(hint), 'rarely')
    await this.refresh()
    this.#look.start()
    this.#loop.start()
  }

  async stop(): Promise<void> {
    this.#unwatch()
    this.#reading.stop()
    this.#look.stop()
    await this.#loop.stop()
  }

  /**
   * Reads the pauses. The name of the look contains what was found, so only processes that know the same pauses
   * postpone theirs. An operator waits for a pause, so the looks never rest.
   */
  async #turn(): Promise<void> {
    await this.refresh()
    const look = `pauses ${fingerprint([...this.#pauses.keys()])}`
    this.#look.looked(look, { foundNothing: true, isUrgent: true })
  }

  /** Reads the pauses at once. */
  async refresh(): Promise<void> {
    const before = this.#types
    this.#pauses = new Map((await listPauses(this.#store)).map(pause => [pause.id, pausedType(pause)]))
    const now = new Set(this.#pauses.values())
    this.#types = now
    for (const type of [...before].filter(it => !now.has(it))) {
      for (const listener of this.#listeners) listener({ kind: 'ready', type })
    }
  }

  /**
   * The store as workers and launchers see it: without paused types. When a type is resumed, it hints that the type may
   * be ready.
   */
  without<Taken extends Store>(store: Taken): Taken {
    return {
      ...store,
      claim: async (request: ClaimRequest): Promise<Claim[]> => {
        if (this.#pauses.size === 0 || 'id' in request.from) return await store.claim(request)
        const paused = this.types
        const types = request.from.types.filter(({ type }) => !paused.has(type))
        return types.length === 0 ? [] : await store.claim({ ...request, from: { ...request.from, types } })
      },
      reserveForLaunch: async (request: ReserveRequest) => {
        if (this.#pauses.size === 0) return await store.reserveForLaunch(request)
        const paused = this.types
        const types = request.types.filter(type => !paused.has(type))
        return types.length === 0 ? [] : await store.reserveForLaunch({ ...request, types })
      },
      queueStats: async (type: string) => {
        const stats = await store.queueStats(type)
        return this.types.has(type) ? { ...stats, ready: [], depth: 0, oldestAt: null } : stats
      },
      watch: (listener: (hint: Hint) => void, need?: HintNeed) => {
        this.#listeners.add(listener)
        const unwatch = store.watch(listener, need)
        return () => {
          this.#listeners.delete(listener)
          unwatch()
        }
      },
    }
  }

  #hinted(hint: Hint): void {
    const isOurs =
      hint.kind === 'unknown' ||
      (hint.kind === 'ready' && hint.type === PAUSES.name) ||
      (hint.kind === 'ended' && this.#pauses.has(hint.id))
    if (isOurs) this.#reading.request()
  }
}
