/**
 * Follows up the ends of parents and children: it reports to a parent that children have ended, and cancels the children
 * of one that was canceled or has failed. Any number of processes may do this, and die in it: an end is due until it is
 * marked, and to follow it up twice changes nothing more.
 */
import { hasChildren, type Operation } from '../model/operation.ts'
import { recordedChildren } from '../model/waits.ts'
import { listAllChildren } from '../stores/list-all-children.ts'
import type { Store } from '../stores/store.ts'
import type { Logger } from '../util/logger.ts'
import { Loop } from '../util/loop.ts'

type FamilyStore = Pick<Store, 'change' | 'countChildren' | 'familyDue' | 'listChildren' | 'steps'>

/** Options of a {@link FamilyOutbox}. */
export interface FamilyOutboxOptions {
  readonly store: FamilyStore
  readonly logger: Logger
}

/** How many ends one turn follows up. */
const BATCH = 500
/** How long ends are collected, in milliseconds: those of one parent are reported to it together. */
const COLLECT_MS = 20
/** The time between two looks when this process has recorded no such end. */
const POLL_MS = 5000
/** How many children are canceled at once. */
const PARALLEL = 32

export class FamilyOutbox {
  readonly #options: FamilyOutboxOptions
  readonly #loop: Loop
  #collecting: NodeJS.Timeout | undefined

  constructor(options: FamilyOutboxOptions) {
    this.#options = options
    this.#loop = new Loop({
      name: 'families',
      everyMs: POLL_MS,
      turn: () => this.#turn(),
      onError: (error, loop) =>
        options.logger.warn(
          { err: error, loop },
          'The ends of children could not be reported to their parents yet, and will be later',
        ),
    })
  }

  get loops(): readonly Loop[] {
    return [this.#loop]
  }

  start(): void {
    this.#loop.start()
  }

  async stop(): Promise<void> {
    clearTimeout(this.#collecting)
    await this.#loop.stop()
  }

  /** The store, whose ends this outbox follows up at once where this process records them. */
  following(store: Store): Store {
    return {
      ...store,
      change: async (id, change) => {
        const operation = await store.change(id, change)
        if (operation !== undefined) this.note(operation)
        return operation
      },
      sweep: async limit => {
        const swept = await store.sweep(limit)
        for (const operation of swept.expired) this.note(operation)
        return swept
      },
    }
  }

  /** This process has recorded a change. */
  note({ familyDue }: Operation): void {
    if (!familyDue) return
    this.#collecting ??= setTimeout(() => {
      this.#collecting = undefined
      this.#loop.wake()
    }, COLLECT_MS).unref()
  }

  async #turn(): Promise<void> {
    const due = await this.#options.store.familyDue(BATCH)
    await followUp(this.#options.store, due)
    if (due.length === BATCH) this.#loop.wake()
  }
}

/** Follows up ends that are due. */
export async function followUp(store: FamilyStore, ended: readonly Operation[]): Promise<void> {
  for (const operation of ended) {
    if (hasChildren(operation) && operation.status !== 'completed') await cancelChildren(store, operation.id)
  }
  const parents = new Set(ended.flatMap(({ parent }) => parent ?? []))
  await Promise.all([...parents].map(parent => tellParent(store, parent)))
  await Promise.all(ended.map(({ id }) => store.change(id, { kind: 'family-told' })))
}

async function tellParent(store: FamilyStore, parent: string): Promise<void> {
  const { unfinished } = await store.countChildren(parent)
  await store.change(parent, { kind: 'children-ended', unfinished })
}

async function cancelChildren(store: FamilyStore, parent: string): Promise<void> {
  const detached = new Set(recordedChildren(await store.steps(parent)).flatMap(it => (it.detached ? [it.id] : [])))
  const left = (await listAllChildren(store, parent, 'unfinished')).filter(id => !detached.has(id)).values()
  const cancel = async () => {
    for (const id of left) await store.change(id, { kind: 'cancel' })
  }
  await Promise.all(Array.from({ length: PARALLEL }, cancel))
}
