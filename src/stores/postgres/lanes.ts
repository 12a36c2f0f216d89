/** Batches that are written two at a time, in halves when one row of them is refused, and never too large. */
import { Batcher, type Settled } from '../../batch.ts'
import { isOfOneRow, sqlState } from './connections.ts'

/** Two writes under way keep the server at work while the one before is answered; more would only make batches smaller. */
const LANES = 2
/** The most that one statement carries, in characters. */
const MOST_CHARACTERS = 4_000_000

const LOCK_NOT_AVAILABLE = '55P03'

/** Writes a batch; it is done whole or not at all. */
export type WriteBatch<Item, Result> = (items: readonly Item[]) => Promise<readonly Result[]>

/** Options of {@link Lanes}. */
export interface LanesOptions<Item, Result> {
  readonly write: WriteBatch<Item, Result>
  /** Items of one key are written in the order in which they came. Without it any lane takes any item. */
  readonly key?: (item: Item) => string
  /** About how many characters an item carries beside its fixed parts. */
  readonly size?: (item: Item) => number
}

/** Joins single calls into batches. */
export class Lanes<Item, Result> {
  readonly #lanes: readonly Batcher<Item, Result>[]
  readonly #key: (item: Item) => string
  #turn = 0

  constructor({ write, key, size = () => 0 }: LanesOptions<Item, Result>) {
    this.#key = key ?? (() => String(this.#turn++))
    const whole = (items: readonly Item[]) => writeInParts(inChunks(items, size), write)
    this.#lanes = Array.from({ length: LANES }, () => new Batcher(whole))
  }

  add(item: Item): Promise<Result> {
    const key = this.#key(item)
    const lane = this.#lanes[key.charCodeAt(key.length - 1) % LANES] ?? this.#lanes[0]
    if (lane === undefined) throw new RangeError('There is no lane.')
    return lane.add(item)
  }

  /** Resolves when nothing waits and nothing is being written. */
  async drained(): Promise<void> {
    await Promise.all(this.#lanes.map(lane => lane.drained()))
  }
}

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

async function writeInParts<Item, Result>(
  chunks: readonly (readonly Item[])[],
  write: WriteBatch<Item, Result>,
): Promise<Settled<Result>[]> {
  const settled: Settled<Result>[] = []
  for (const chunk of chunks) settled.push(...(await writeInHalves(chunk, write)))
  return settled
}

/** When one row is refused, the others go through without it: halves are tried until it stands alone. */
async function writeInHalves<Item, Result>(
  items: readonly Item[],
  write: WriteBatch<Item, Result>,
): Promise<Settled<Result>[]> {
  try {
    return (await write(items)).map(value => ({ value }))
  } catch (error) {
    if (items.length === 1 || !isOfOneRow(error)) return items.map(() => ({ error }))
    return await writeInParts(partsAfter(error, items), write)
  }
}

/** A lock that was waited for in vain would be waited for again in each smaller part: so each stands alone at once. */
function partsAfter<Item>(error: unknown, items: readonly Item[]): (readonly Item[])[] {
  if (sqlState(error) === LOCK_NOT_AVAILABLE) return items.map(item => [item])
  const middle = items.length >> 1
  return [items.slice(0, middle), items.slice(middle)]
}
