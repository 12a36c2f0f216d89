/**
 * The sweeper: ends operations whose lease or deadline has run out, deletes those that have passed their retention, and
 * finds leases whose holder was a process of this machine that has died. Any number of processes may sweep.
 */
import { setImmediate as turn } from 'node:timers/promises'
import type { BlobStore } from '../blobs/blob-store.ts'
import type { Operation } from '../model/operation.ts'
import type { Metrics } from '../observability/metrics.ts'
import { listAllActive } from '../stores/list-all-active.ts'
import { SharedLook } from '../stores/shared-look.ts'
import type { OperationStore, WorkQueue } from '../stores/store.ts'
import { hostId } from '../util/host-id.ts'
import type { Logger } from '../util/logger.ts'
import { Loop } from '../util/loop.ts'
import { isProcessAlive } from '../util/process-alive.ts'
import { TimeLimit } from '../util/time-limit.ts'

/** Options of a {@link Sweeper}. */
export interface SweeperOptions {
  readonly store: WorkQueue & Pick<OperationStore, 'change' | 'watch'>
  /** Where the results are stored that are deleted with their operations. */
  readonly blobs?: BlobStore | undefined
  /** Milliseconds between two sweeps. */
  readonly everyMs: number
  readonly logger: Logger
  readonly metrics?: Metrics | undefined
}

/** How many operations one transaction sweeps, so that it holds no lock for long. */
const BATCH = 200
/** How long the deletion of a batch's blobs may take, in milliseconds. */
const DELETE_MS = 10_000
/** How many processes are checked in one turn of the event loop. Each check takes about 50 microseconds. */
const ASKED_AT_ONCE = 100
/**
 * For each ten lease holders, a sweeper skips one more sweep between two checks of the holders. A check reads all
 * leases, so a large fleet costs the server no more than a small one. A dead holder that no check finds is noticed when
 * its lease ends.
 */
const HOLDERS_ASKED_FOR = 10
/** How many operations are remembered whose blobs could not be deleted. */
const MOST_UNDELETED = 10_000

export class Sweeper {
  readonly #options: SweeperOptions
  readonly #loop: Loop
  readonly #look: SharedLook
  readonly #deleteLimit = new TimeLimit(DELETE_MS, 'The blob store did not delete in time.')
  /**
   * Operations that were swept but whose blobs may still exist. After a crash, the sweep of their records finds them
   * again.
   */
  #undeleted: readonly string[] = []
  /** How many sweeps are left that do not check the lease holders. */
  #toPass = 0

  constructor(options: SweeperOptions) {
    this.#options = options
    this.#loop = new Loop({
      name: 'sweep',
      everyMs: options.everyMs,
      turn: () => this.#turn(),
      onError: (error, loop) => options.logger.warn({ err: error, loop }, 'The sweep failed; will retry'),
    })
    this.#look = new SharedLook(options.store, this.#loop)
  }

  get loops(): readonly Loop[] {
    return [this.#loop]
  }

  start(): void {
    this.#look.start()
    this.#loop.start()
  }

  async stop(): Promise<void> {
    this.#look.stop()
    await this.#loop.stop()
  }

  async #turn(): Promise<void> {
    const isAnyHeld = await this.#abandonDead()
    const { expired, purged } = await this.#options.store.sweep(BATCH)
    if (expired.length > 0) this.#options.logger.warn({ expired: expired.length }, 'Leases or deadlines ran out')
    for (const operation of expired) this.#countLoss(operation)
    if (expired.length >= BATCH || purged.length >= BATCH) this.#loop.wake()
    await this.#deleteBlobs(purged)
    // Only a process of the same machine can find out that a holder has died. So each process checks while there are
    // leases.
    const isIdle = !isAnyHeld && expired.length + purged.length + this.#undeleted.length === 0
    this.#look.looked('sweep', { foundNothing: isIdle })
  }

  /** An operation that its deadline ended while it did not run has lost no attempt. */
  #countLoss({ history, updatedAt }: Operation): void {
    const last = history.at(-1)
    if (last?.outcome === 'lost' && last.finishedAt === updatedAt) this.#options.metrics?.lost(1)
  }

  async #deleteBlobs(purged: readonly string[]): Promise<void> {
    const { blobs, logger } = this.#options
    if (blobs === undefined) return
    this.#undeleted = [...this.#undeleted, ...purged].slice(-MOST_UNDELETED)
    if (this.#undeleted.length === 0) return
    try {
      await this.#deleteLimit.within(blobs.deleteAll(this.#undeleted.slice(0, BATCH)))
      this.#undeleted = this.#undeleted.slice(BATCH)
      if (this.#undeleted.length > 0) this.#loop.wake()
    } catch (error) {
      logger.warn({ err: error, operations: this.#undeleted.length }, 'Could not delete results; will retry')
    }
  }

  /**
   * Ends the leases of processes that have died, without waiting for the leases to run out. False if there are no
   * leases.
   */
  async #abandonDead(): Promise<boolean> {
    if (this.#toPass-- > 0) return true
    const holders = await this.#options.store.holders()
    this.#toPass = Math.floor(holders.length / HOLDERS_ASKED_FOR)
    for (const holder of await deadOf(holders)) await this.#abandon(holder)
    return holders.length > 0
  }

  async #abandon(holder: string): Promise<void> {
    const { store, logger } = this.#options
    for (const { id, attempt, status } of await listAllActive(store, { holder })) {
      if (status !== 'running') continue
      const reason = `Its worker, process ${holder}, is gone.`
      const changed = await store.change(id, { kind: 'abandon', attempt, reason })
      if (changed === undefined) continue
      this.#countLoss(changed)
      logger.warn({ operation: id, attempt, holder }, 'An attempt was lost with its worker')
    }
  }
}

/** The holders that have certainly died. Other work of the process runs in between. */
async function deadOf(holders: readonly string[]): Promise<readonly string[]> {
  const dead: string[] = []
  let asked = 0
  for (const holder of holders) {
    if (isDead(holder)) dead.push(holder)
    if (++asked % ASKED_AT_ONCE === 0) await turn()
  }
  return dead
}

/** Whether a holder has certainly died: it was a process of this machine, and no process has its id now. */
function isDead(holder: string): boolean {
  const [machine, pid = ''] = holder.split('/')
  return machine === hostId && /^\d+$/.test(pid) && !isProcessAlive(Number(pid))
}
