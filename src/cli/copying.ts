/**
 * How everything gets from one store to another: both are read side by side in the order of the ids, so that what
 * is there already is known, and a copy that was cut short goes on where it was when it is repeated.
 */
import { createHash, type Hash } from 'node:crypto'
import { fingerprint } from '../json.ts'
import type { Dump, Store } from '../store.ts'

/** How many operations are read, and written, at once. */
const PAGE = 50
/** How many differences are named. */
const MOST_NAMED = 10

/** What {@link copyAll} has done. */
export interface Copied {
  readonly written: number
  /** They were in the target, and the same. */
  readonly same: number
  /** They have changed in the target since they were copied: a copy does not take that back. */
  readonly ahead: number
}

/** Operations of a store, counted and digested. */
export interface Digest {
  readonly count: number
  /** Of all digests, in the order of the ids: SHA-256 as hexadecimal digits. */
  readonly digest: string
}

/** What {@link compare} has found. */
export interface Comparison {
  readonly source: Digest
  /** Of what the source has, as the target has it. */
  readonly target: Digest
  /** How many more the target has. */
  readonly others: number
  /** Ids that are missing in the target or differ there, some of them. */
  readonly different: readonly string[]
}

/**
 * Writes to the target what it lacks.
 *
 * @param onEach told of the count so far, for each operation of the source
 */
export async function copyAll(source: Store, target: Store, onEach: (count: number) => void): Promise<Copied> {
  const counts = { written: 0, same: 0, ahead: 0 }
  let count = 0
  let batch: Dump[] = []
  const flush = async () => {
    if (batch.length > 0) await target.restore(batch)
    counts.written += batch.length
    batch = []
  }
  for await (const [ours, theirs] of sideBySide(source, target)) {
    if (ours === undefined) continue
    if (theirs !== undefined && theirs.operation.version > ours.operation.version) counts.ahead++
    else if (theirs !== undefined && digestOf(theirs) === digestOf(ours)) counts.same++
    else batch.push(ours)
    if (batch.length === PAGE) await flush()
    onEach(++count)
  }
  await flush()
  return counts
}

/** Reads both anew, and compares what the source has with what the target has of it. */
export async function compare(source: Store, target: Store): Promise<Comparison> {
  const [sources, targets] = [new Digester(), new Digester()]
  const different: string[] = []
  let others = 0
  for await (const [ours, theirs] of sideBySide(source, target)) {
    if (ours === undefined) {
      others++
      continue
    }
    const digests = [sources.add(ours), theirs && targets.add(theirs)]
    if (digests[0] !== digests[1] && different.length < MOST_NAMED) different.push(ours.operation.id)
  }
  return { source: sources.sum(), target: targets.sum(), others, different }
}

/**
 * A digest that equal operations share, whichever store they are in. PostgreSQL holds no NUL and no half of a surrogate
 * pair, and replaces them in log lines, so these are compared without.
 */
export function digestOf({ steps, logs, ...rest }: Dump): string {
  const byName = Object.fromEntries(steps)
  const lines = logs.map(line => ({ ...line, message: line.message.toWellFormed().replaceAll('\0', '\ufffd') }))
  return fingerprint({ ...rest, steps: byName, logs: lines })
}

class Digester {
  readonly #hash: Hash = createHash('sha256')
  #count = 0

  add(dump: Dump): string {
    const digest = digestOf(dump)
    this.#hash.update(`${dump.operation.id} ${digest}\n`)
    this.#count++
    return digest
  }

  sum(): Digest {
    return { count: this.#count, digest: this.#hash.digest('hex') }
  }
}

/** Every operation of either store, with what the other one has under its id. */
async function* sideBySide(source: Store, target: Store): AsyncGenerator<[Dump | undefined, Dump | undefined]> {
  const [left, right] = [dumpsOf(source), dumpsOf(target)]
  let [ours, theirs] = [await next(left), await next(right)]
  while (ours !== undefined || theirs !== undefined) {
    const [a, b] = [idOf(ours), idOf(theirs)]
    yield [a <= b ? ours : undefined, b <= a ? theirs : undefined]
    if (a <= b) ours = await next(left)
    if (b <= a) theirs = await next(right)
  }
}

async function next(dumps: AsyncGenerator<Dump, void>): Promise<Dump | undefined> {
  const { value } = await dumps.next()
  return value ?? undefined
}

/** Behind every id where there is none. */
function idOf(dump: Dump | undefined): string {
  return dump?.operation.id ?? '\u{10ffff}'
}

async function* dumpsOf(store: Store): AsyncGenerator<Dump, void> {
  let after: string | undefined
  for (;;) {
    const page = await store.dump(after, PAGE)
    if (page.length === 0) return
    yield* page
    after = page.at(-1)?.operation.id
  }
}
