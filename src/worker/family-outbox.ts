/**
 * Follows up the ends of parents and children: it reports to a parent that children have ended, and cancels the
 * children of a parent that was canceled or has failed. Any number of processes may do this, and may die while they do:
 * an end stays due until it is marked as followed up. Doing it twice changes nothing.
 */
import { hasChildren, type Operation } from '../model/operation.ts'
import type { StoreObserver } from '../stores/observed.ts'
import { type LookStore, SharedLook } from '../stores/shared-look.ts'
import type { Store } from '../stores/store.ts'
import type { Logger } from '../util/logger.ts'
import { Loop } from '../util/loop.ts'
import { cancelChildren } from './family.ts'

type FamilyStore = Pick<Store, 'change' | 'countChildren' | 'familyDue' | 'listChildren' | 'read' | 'steps'>

/** How many ended operations one turn follows up. */
const BATCH = 500
/** How long ended children are collected, in milliseconds. Those of one parent are reported to it together. */
const COLLECT_MS = 20
/** The time between two polls when this process has recorded no such end. */
const POLL_MS = 5000

export class FamilyOutbox implements StoreObserver {
  readonly #loop: Loop
  #store: FamilyStore | undefined
  #look: SharedLook | undefined
  #collecting: NodeJS.Timeout | undefined

  constructor(logger: Logger) {
    this.#loop = new Loop({
      name: 'families',
      everyMs: POLL_MS,
      turn: () => this.#turn(),
      onError: (error, loop) =>
        logger.warn(
          { err: error, loop },
          'The ends of children could not be reported to their parents yet, and will be later',
        ),
    })
  }

  get loops(): readonly Loop[] {
    return [this.#loop]
  }

  /** @param store one that the outbox observes, since the children that it cancels may have children themselves */
  start(store: FamilyStore & LookStore): void {
    this.#store = store
    this.#look = new SharedLook(store, this.#loop)
    this.#look.start()
    this.#loop.start()
  }

  async stop(): Promise<void> {
    clearTimeout(this.#collecting)
    this.#look?.stop()
    await this.#loop.stop()
  }

  /** Follows up at once what this process has recorded. */
  changed({ familyDue }: Operation): void {
    if (!familyDue) return
    this.#collecting ??= setTimeout(() => {
      this.#collecting = undefined
      this.#loop.wake()
    }, COLLECT_MS).unref()
  }

  async #turn(): Promise<void> {
    if (this.#store === undefined) return
    const due = await this.#store.familyDue(BATCH)
    await followUp(this.#store, due)
    if (due.length === BATCH) this.#loop.wake()
    this.#look?.looked('families', { foundNothing: due.length === 0 })
  }
}

/**
 * Follows up the ends that are due. An end that fails does not hold up the others, and stays due.
 *
 * @throws the first error
 */
export async function followUp(store: FamilyStore, ended: readonly Operation[]): Promise<void> {
  const failures = new Map<string, unknown>()
  const attempt = async (id: string, work: () => Promise<void>) => {
    await work().catch((error: unknown) => failures.set(id, error))
  }
  for (const { id, status, waits } of ended) {
    if (!hasChildren({ waits }) || status === 'completed') continue
    await attempt(id, () => cancelChildren(store, id))
  }
  const parents = new Set(ended.flatMap(({ parent }) => parent ?? []))
  await Promise.all([...parents].map(parent => attempt(parent, () => tellParent(store, parent))))
  const done = ended.filter(({ id, parent }) => !failures.has(id) && !failures.has(parent ?? ''))
  await Promise.all(done.map(({ id }) => store.change(id, { kind: 'family-told' })))
  for (const error of failures.values()) throw error
}

/**
 * Another process may report at the same time, and its count may be older or newer. So a count is written only if nobody
 * has reported since it began. Where two have, the second one has counted after this call began: it covers this report.
 * One more try is for stores whose first read may come from a replica that lags.
 */
async function tellParent(store: FamilyStore, parent: string): Promise<void> {
  for (let tries = 0; tries < 3; tries++) {
    const told = (await store.read(parent))?.waits?.children?.told
    if (told === undefined) return
    const { unfinished } = await store.countChildren(parent)
    if ((await store.change(parent, { kind: 'children-ended', unfinished, told })) !== undefined) return
  }
}
