/**
 * Changes of an operation's item: read the item, apply a pure function, write the result on the condition that nobody
 * has written in between, and start again if another process has.
 *
 * Changes of one operation that this process makes at the same time are joined into one write, in the
 * order of the calls, so that a process never conflicts with itself.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Batcher, type BatchResult } from '../../util/batcher.ts'
import type { CosmosAccess } from './access.ts'
import { statusOf } from './calls.ts'
import { type BesideItem, marked, newMark, type OperationItem, settleLog, type Tagged } from './items.ts'

/** The result of a mutation. Without an item, nothing changes. */
export interface Mutated<Result> {
  readonly item?: OperationItem
  /** Items that must be written before this item names them. */
  readonly besides?: readonly BesideItem[]
  /** The change sends no hint. */
  readonly silent?: boolean
  readonly result: Result
}

/**
 * A pure function: it may be applied several times, and the last result counts. `item` is undefined if there is no
 * operation.
 */
export type Mutation<Result> = (item: OperationItem | undefined, now: number) => Mutated<Result>

export type OnChange = (written: Tagged<OperationItem>, silent: boolean) => void

interface Waiting {
  readonly mutation: Mutation<unknown>
  /** The item as it was just read. */
  readonly base: Tagged<OperationItem> | undefined
}

interface Applied {
  readonly item: OperationItem | undefined
  readonly changed: boolean
  readonly besides: readonly BesideItem[]
  readonly silent: boolean
  readonly results: readonly BatchResult<unknown>[]
  /**
   * Whether some mutation left the item unchanged. If the item may be out of date, this must be decided again on a
   * fresh one.
   */
  readonly refused: boolean
}

/**
 * The most conflicts in a row. Each means that another process made progress; this many mean that something is wrong.
 */
const MOST_CONFLICTS = 30
/** How many items of running operations are remembered. */
const REMEMBERED = 2000

export class Mutations {
  readonly #access: CosmosAccess
  readonly #onChange: OnChange
  readonly #queues = new Map<string, { batcher: Batcher<Waiting, unknown>; users: number }>()
  /** Running operations as this process wrote them last: their next change mostly needs no read. */
  readonly #remembered = new Map<string, Tagged<OperationItem>>()

  /** @param onChange called with each item that was written */
  constructor(access: CosmosAccess, onChange: OnChange) {
    this.#access = access
    this.#onChange = onChange
  }

  /** Applies a mutation, and returns its result once it is durable. */
  async apply<Result>(id: string, mutation: Mutation<Result>, base?: Tagged<OperationItem>): Promise<Result> {
    const queue = this.#queues.get(id) ?? {
      batcher: new Batcher<Waiting, unknown>(batch => this.#batch(id, batch)),
      users: 0,
    }
    this.#queues.set(id, queue)
    queue.users++
    try {
      return (await queue.batcher.add({ mutation, base })) as Result
    } finally {
      if (--queue.users === 0) this.#queues.delete(id)
    }
  }

  async #batch(id: string, batch: readonly Waiting[]): Promise<readonly BatchResult<unknown>[]> {
    try {
      return await this.#write(id, batch)
    } catch (error) {
      // The write may be too large or malformed. Then one of the mutations is the cause, and the others must not fail
      // with it.
      const status = statusOf(error)
      if (batch.length === 1 || (status !== 400 && status !== 413)) throw error
      const settled: BatchResult<unknown>[] = []
      for (const one of batch) settled.push(await this.#write(id, [one]).then(first, failed))
      return settled
    }
  }

  async #write(id: string, batch: readonly Waiting[]): Promise<readonly BatchResult<unknown>[]> {
    const created = new Set<string>()
    const [{ base: known } = { base: undefined }] = batch
    let base = (batch.length === 1 ? known : undefined) ?? this.#remembered.get(id)
    base ??= await this.#access.operation(id)
    let latest = base === undefined
    for (let conflicts = 0; conflicts < MOST_CONFLICTS; conflicts++) {
      let applied = apply(base?.item, batch, this.#access.now())
      if (applied.refused && !latest) {
        base = await this.#access.latestOperation(id)
        latest = true
        applied = apply(base?.item, batch, this.#access.now())
      }
      if (!applied.changed || applied.item === undefined || base === undefined) return applied.results
      await this.#access.createBesides(applied.besides.filter(({ id }) => !created.has(id)))
      for (const { id } of applied.besides) created.add(id)
      const replaced = await this.#replace(applied.item, base.etag, applied.silent)
      if (replaced.written) return applied.results
      base = replaced.now
      // The service decided on the latest state, and after its answer no older state can be read.
      latest = true
      await sleep(Math.random() * Math.min(5 * 2 ** conflicts, 250))
    }
    throw new Error(
      `The operation ${id} could not be changed: other processes changed it ${MOST_CONFLICTS} times meanwhile.`,
    )
  }

  /** Writes the item. If another process has written meanwhile, returns the item as it is now. */
  async #replace(
    item: OperationItem,
    etag: string,
    silent: boolean,
  ): Promise<{ written: true } | { written: false; now: Tagged<OperationItem> | undefined }> {
    const mark = newMark()
    const written = await this.#access.replace(marked(item, mark), etag)
    if (written.kind === 'written') {
      this.#remember({ item: marked(item, mark), etag: written.etag }, silent)
      return { written: true }
    }
    this.#remembered.delete(item.id)
    // The write may have been made although its answer was lost; the SDK itself repeats some writes without notice.
    const now = await this.#access.operation(item.id)
    if (now === undefined || !now.item.marks.includes(mark)) return { written: false, now }
    this.#remember(now, silent)
    return { written: true }
  }

  #remember(written: Tagged<OperationItem>, silent: boolean): void {
    const { item } = written
    this.#remembered.delete(item.id)
    if (item.record.status === 'running') {
      const [oldest] = this.#remembered.keys()
      if (this.#remembered.size >= REMEMBERED && oldest !== undefined) this.#remembered.delete(oldest)
      this.#remembered.set(item.id, written)
    }
    this.#onChange(written, silent)
  }
}

/** Applies mutations one after the other, each to the result of the one before. */
function apply(start: OperationItem | undefined, batch: readonly Waiting[], now: number): Applied {
  let item = start?.kind === 'arriving' ? undefined : start
  let refused = false
  let silent = true
  const besides: BesideItem[] = []
  const results = batch.map(({ mutation }) => {
    const after = mutation(item, now)
    if (after.item === undefined) refused = true
    else silent &&= after.silent === true
    item = after.item ?? item
    besides.push(...(after.besides ?? []))
    return { value: after.result }
  })
  if (item === undefined || item === start) return { item, changed: false, besides: [], silent, results, refused }
  const settled = settleLog(item)
  return { item: settled.item, changed: true, besides: [...besides, ...settled.besides], silent, results, refused }
}

function first(results: readonly BatchResult<unknown>[]): BatchResult<unknown> {
  return results[0] ?? { value: undefined }
}

function failed(error: unknown): BatchResult<unknown> {
  return { error }
}
