/**
 * Writes batches one after the other. While a batch takes long, another one is written in parallel. If a row is
 * refused, the batch is written in halves. Batches are never too large.
 */
import type { Submission } from '../../model/submission.ts'
import { Batcher, type BatchResult } from '../../util/batcher.ts'
import { BUSY, BusyLane } from './busy-lane.ts'
import { isOfOneRow, sqlState } from './connections.ts'

/**
 * After this time, in milliseconds, another batch may be written beside the one under way. Earlier, two at once would
 * only make batches smaller.
 */
const SLOW_MS = 20
/** How many may be under way at once. */
const LANES = 2
/** The most characters of one statement. */
const MOST_CHARACTERS = 4_000_000

const LOCK_NOT_AVAILABLE = '55P03'

/**
 * Writes all of a batch or nothing, except for items whose rows others have locked: those are skipped.
 *
 * @param until when it must be done, by the monotonic clock
 */
export type WriteBatch<Item, Result> = (
  items: readonly Item[],
  until: number,
) => Promise<readonly (Result | typeof BUSY)[]>

/** Options of {@link Lanes}. */
export interface LanesOptions<Item, Result> {
  readonly write: WriteBatch<Item, Result>
  /**
   * How long an item may take, in milliseconds. If it waits for more than half of that before its batch is written, it
   * is not written.
   */
  readonly limitMs: number
  /** Items of one key are never written by two batches at once where {@link isTied} says so. */
  readonly key: (item: Item) => string
  /** Whether an item may not be written beside earlier ones of its key. Default: each is. */
  readonly isTied?: (item: Item) => boolean
  /** About how many characters an item has besides its fixed parts. */
  readonly size?: (item: Item) => number
  /** How long a batch is under way until another may be written beside it, in milliseconds. Default 20. */
  readonly slowMs?: number
  /** The most items of a batch. Default 500. */
  readonly most?: number
  /** The items of a batch that have a statement of their own. Default: none. */
  readonly apart?: (items: readonly Item[]) => ReadonlySet<Item>
}

/** An item, and until when its caller waits, by the monotonic clock. */
interface Timed<Item> {
  readonly item: Item
  readonly until: number
}

/** Joins single calls into batches. */
export class Lanes<Item, Result> {
  readonly #options: LanesOptions<Item, Result>
  readonly #lanes: readonly Batcher<Timed<Item>, Result>[]
  /** When the batch of each lane began, by the monotonic clock; infinity where there is none. */
  readonly #began: number[] = Array(LANES).fill(Number.POSITIVE_INFINITY)
  readonly #busy: BusyLane<Timed<Item>, Result>
  readonly #write: (items: readonly Timed<Item>[]) => Promise<BatchResult<Result | typeof BUSY>[]>

  constructor(options: LanesOptions<Item, Result>) {
    this.#options = options
    const { write, key, size = () => 0, apart, limitMs } = options
    const writeTimed = (items: readonly Timed<Item>[]) =>
      write(
        items.map(({ item }) => item),
        Math.min(...items.map(({ until }) => until)),
      )
    const writeAlike = (items: readonly Timed<Item>[]) =>
      writeInParts(
        inChunks(items, ({ item }) => size(item)),
        writeTimed,
      )
    this.#write = async items => {
      const others = apart?.(items.map(({ item }) => item))
      return await (others ? writeBoth(items, ({ item }) => others.has(item), writeAlike) : writeAlike(items))
    }
    const until = (item: Timed<Item>) => item.until - limitMs / 2
    this.#busy = new BusyLane({ write: this.#write, key: ({ item }) => key(item), until })
    this.#lanes = this.#began.map((_, at) => new Batcher(items => this.#writeOn(at, items), { limit: options.most }))
  }

  /** Whether a batch is written at the end of this turn of the event loop. */
  get isCollecting(): boolean {
    return this.#lanes.some(lane => lane.isCollecting)
  }

  add(item: Item): Promise<Result> {
    const { isTied = () => true, limitMs, slowMs = SLOW_MS } = this.#options
    const now = performance.now()
    const free = isTied(item) ? -1 : this.#began.findIndex(began => now - began < slowMs)
    const lane = this.#lanes[Math.max(free, 0)]
    if (lane === undefined) throw new RangeError('There is no lane.')
    return lane.add({ item, until: now + limitMs })
  }

  /** Resolves when nothing waits and nothing is being written. */
  async drained(): Promise<void> {
    await Promise.all(this.#lanes.map(lane => lane.drained()))
    await this.#busy.drained()
  }

  async #writeOn(lane: number, items: readonly Timed<Item>[]): Promise<BatchResult<Result | Promise<Result>>[]> {
    this.#began[lane] = performance.now()
    try {
      return await this.#writeFree(items)
    } finally {
      this.#began[lane] = Number.POSITIVE_INFINITY
    }
  }

  /**
   * Writes the items whose rows nobody has locked. The others are answered later, and the batch does not wait for them.
   */
  async #writeFree(items: readonly Timed<Item>[]): Promise<BatchResult<Result | Promise<Result>>[]> {
    const before = items.map(item => this.#answerUnwritten(item))
    const settled = (await this.#write(items.filter((_, index) => before[index] === undefined))).values()
    return items.map((item, index) => this.#answer(item, before[index] ?? settled.next().value))
  }

  #answerUnwritten(item: Timed<Item>): BatchResult<typeof BUSY> | undefined {
    if (performance.now() > item.until - this.#options.limitMs / 2) return { error: new Error(NOT_WRITTEN) }
    return this.#busy.holds(item) ? { value: BUSY } : undefined
  }

  #answer(
    item: Timed<Item>,
    answer: BatchResult<Result | typeof BUSY> = NO_ANSWER,
  ): BatchResult<Result | Promise<Result>> {
    if ('error' in answer) return answer
    const { value } = answer
    return { value: value === BUSY ? this.#busy.add(item) : value }
  }
}

const NOT_WRITTEN = 'PostgreSQL is too slow: the statement was not sent in time. Nothing was written.'
const NO_ANSWER = { error: new Error('The batch was written without an answer for this item.') }

function inChunks<Item>(items: readonly Item[], size: (item: Item) => number): Item[][] {
  const chunks: Item[][] = []
  let room = 0
  for (const item of items) {
    const needed = size(item)
    if (needed > room || chunks.length === 0) {
      chunks.push([])
      room = MOST_CHARACTERS
    }
    chunks.at(-1)?.push(item)
    room -= needed
  }
  return chunks
}

/** Writes the items that satisfy the condition after the others, and answers in the order of the items. */
async function writeBoth<Item, Answer>(
  items: readonly Item[],
  condition: (item: Item) => boolean,
  write: (items: readonly Item[]) => Promise<readonly Answer[]>,
): Promise<Answer[]> {
  const [first, second] = [items.filter(item => !condition(item)), items.filter(condition)]
  const [firsts, seconds] = [(await write(first)).values(), (await write(second)).values()]
  return items.map(item => (condition(item) ? seconds : firsts).next().value as Answer)
}

type WriteWhole<Item, Result> = (items: readonly Item[]) => Promise<readonly (Result | typeof BUSY)[]>

async function writeInParts<Item, Result>(
  chunks: readonly (readonly Item[])[],
  write: WriteWhole<Item, Result>,
): Promise<BatchResult<Result | typeof BUSY>[]> {
  const settled: BatchResult<Result | typeof BUSY>[] = []
  for (const chunk of chunks) settled.push(...(await writeInHalves(chunk, write)))
  return settled
}

/** If a row is refused, the others are written without it: the batch is halved until the row is alone. */
async function writeInHalves<Item, Result>(
  items: readonly Item[],
  write: WriteWhole<Item, Result>,
): Promise<BatchResult<Result | typeof BUSY>[]> {
  try {
    return (await write(items)).map(value => ({ value }))
  } catch (error) {
    if (items.length === 1 || !isOfOneRow(error)) return items.map(() => ({ error }))
    return await writeInParts(partsAfter(error, items), write)
  }
}

/** After a lock timeout, each half would wait for the lock again, so each item is tried alone at once. */
function partsAfter<Item>(error: unknown, items: readonly Item[]): (readonly Item[])[] {
  if (sqlState(error) === LOCK_NOT_AVAILABLE) return items.map(item => [item])
  const middle = items.length >> 1
  return [items.slice(0, middle), items.slice(middle)]
}

/** Submissions of one idempotency key are written one after the other, so that they never wait for each other in the server. */
export function keyOfSubmission({ id, type, owner, idempotencyKey }: Submission): string {
  return idempotencyKey === null ? id : `${type}\0${owner}\0${idempotencyKey}`
}
