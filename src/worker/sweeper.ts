/**
 * The sweeper: ends what has run out, deletes what has passed its retention, and notices leases
 * whose holder, a process of this machine, has died. Any number of processes may sweep.
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
  /** Where results are that go with their operations. */
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
/** How many processes are asked for in one turn of the event loop: each takes about 50 microseconds. */
const ASKED_AT_ONCE = 100
/**
 * How many holders one sweep asks for. Each ten more have a sweeper pass over one sweep more between two looks at them:
 * a look reads all leases, so the server answers a large fleet as often as a small one. The end of the lease remains.
 */
const HOLDERS_ASKED_FOR = 10
/** How many operations are remembered whose blobs could not be deleted. */
const MOST_UNDELETED = 10_000

export class Sweeper {
  readonly #options: SweeperOptions
  readonly #loop: Loop
  readonly #look: SharedLook
  readonly #deleteLimit = new TimeLimit(DELETE_MS, 'The blob store did not delete in time.')
  /** Operations that were swept and whose blobs may still be there. What a crash forgets of them, the sweep of their records names again. */
  #undeleted: readonly string[] = []
  /** How many sweeps do not ask who holds leases. */
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
    // Only a process of the same machine finds out that a holder is gone: while anything is held, each looks itself.
    const isIdle = !isAnyHeld && expired.length + purged.length + this.#undeleted.length === 0
    this.#look.looked('sweep', { foundNothing: isIdle })
  }

  /** One that a deadline has ended while nothing ran has lost no attempt. */
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

  /** A process that is gone renews nothing: to wait for its leases would only cost time. False where nobody holds any. */
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

/** Those that are certainly gone. Others get their turn of the event loop in between. */
async function deadOf(holders: readonly string[]): Promise<readonly string[]> {
  const dead: string[] = []
  let asked = 0
  for (const holder of holders) {
    if (isDead(holder)) dead.push(holder)
    if (++asked % ASKED_AT_ONCE === 0) await turn()
  }
  return dead
}

/** Whether a holder is certainly gone: it was a process of this machine, and there is none of that id now. */
function isDead(holder: string): boolean {
  const [machine, pid = ''] = holder.split('/')
  return machine === hostId && /^\d+$/.test(pid) && !isProcessAlive(Number(pid))
}
