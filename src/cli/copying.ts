/**
 * Copies everything from one store to another. Both are read in parallel in the order of the ids, so that existing
 * operations are known, and an interrupted copy continues where it stopped when it is repeated.
 */
import { createHash } from 'node:crypto'
import type { BlobReference } from '../blobs/blob-store.ts'
import { fingerprint } from '../model/json.ts'
import { isFinal } from '../model/protocol.ts'
import type { Archive, Dump } from '../stores/store.ts'
import { type BlobContent, type BlobCopier, blobOf, nameOf } from './copying-blobs.ts'

/** How many operations are read and written at once. */
const PAGE = 50
/** How many characters of payloads are written at once: a large payload is written in a page of its own. */
const PAGE_CHARACTERS = 8_000_000
/** How many differences are named. */
const MOST_NAMED = 10

/** The counts of operations of {@link copyAll}. */
export interface Copied {
  readonly written: number
  /** They were already in the target, unchanged. */
  readonly same: number
  /** They have changed in the target since they were copied. A copy does not undo that. */
  readonly ahead: number
  /**
   * The source has lost a part of them. Existing operations of the target stay unchanged, and those that could not run
   * are left out.
   */
  readonly left: number
}

/** Operations of a store, and the blobs that their records refer to, counted and digested. */
export interface Digest {
  readonly count: number
  /** SHA-256 over all digests in the order of the ids, in hexadecimal. */
  readonly digest: string
  readonly blobs: { readonly count: number; readonly bytes: number; readonly digest: string }
}

/** The result of {@link compare}. */
export interface Comparison {
  readonly source: Digest
  /** The same operations as the target has them. */
  readonly target: Digest
  /** How many operations only the target has. */
  readonly others: number
  /** Some of the ids that are missing in the target, or differ there in record or blobs. */
  readonly different: readonly string[]
}

/** Options of {@link copyAll}. */
export interface CopyOptions {
  readonly blobs: BlobCopier
  /** Called with the count so far, for each operation of the source. */
  readonly onEach: (count: number) => void
  /** Called with each operation that is incomplete in the source. */
  readonly onLack: (message: string) => void
}

/**
 * Writes to the target what is missing there. Blobs are written before the records that refer to them, so that after an
 * interruption no record of the target lacks its blob.
 */
export async function copyAll(source: Archive, target: Archive, options: CopyOptions): Promise<Copied> {
  const { blobs, onEach, onLack } = options
  const counts = { written: 0, same: 0, ahead: 0, left: 0 }
  const page = new Page(target, blobs)
  let count = 0
  for await (const [ours, theirs] of sideBySide(source, target)) {
    if (ours === undefined) continue
    onEach(++count)
    const fate = fateOf(ours, theirs)
    counts[fate]++
    if (ours.missing !== undefined) onLack(lackOf(ours, fate, theirs))
    if (fate === 'written' || fate === 'same') await page.add(ours, fate)
  }
  await page.write()
  return counts
}

function fateOf(ours: Dump, theirs: Dump | undefined): keyof Copied {
  if (theirs !== undefined && theirs.operation.version > ours.operation.version) return 'ahead'
  if (theirs !== undefined && digestOf(theirs) === digestOf(ours)) return 'same'
  const isBetterThere = ours.missing !== undefined && theirs?.operation.version === ours.operation.version
  return isBetterThere || !canRun(ours) ? 'left' : 'written'
}

/** Without its input it could not run, and without a step it would repeat that work. */
function canRun({ operation: { status }, missing = [] }: Dump): boolean {
  return isFinal(status) || !(missing.includes('input') || missing.includes('steps'))
}

function lackOf({ operation: { id }, missing = [] }: Dump, fate: keyof Copied, theirs: Dump | undefined): string {
  const lack = `The source has lost of the operation ${id}: ${missing.join(', ')}.`
  if (fate === 'written') return lack
  const why = theirs === undefined ? 'It is not copied, for it could not run.' : 'What the target has of it stays.'
  return `${lack} ${why}`
}

/** Operations that are written together. */
class Page {
  readonly #target: Archive
  readonly #blobs: BlobCopier
  #records: Dump[] = []
  #references: BlobReference[] = []
  #characters = 0

  constructor(target: Archive, blobs: BlobCopier) {
    this.#target = target
    this.#blobs = blobs
  }

  /** The blob of an existing operation may also be missing, if an earlier copy did not find it. */
  async add(dump: Dump, fate: 'written' | 'same'): Promise<void> {
    const reference = blobOf(dump)
    if (reference !== undefined) this.#references.push(reference)
    if (fate === 'written') {
      this.#records.push(dump)
      this.#characters += charactersOf(dump)
    }
    const isFull = Math.max(this.#records.length, this.#references.length) >= PAGE
    if (isFull || this.#characters >= PAGE_CHARACTERS) await this.write()
  }

  async write(): Promise<void> {
    await this.#blobs.bring(this.#references)
    if (this.#records.length > 0) await this.#target.restore(this.#records)
    this.#records = []
    this.#references = []
    this.#characters = 0
  }
}

function charactersOf({ input, output, steps }: Dump): number {
  return [input, output, ...steps.flat()].reduce((sum, text) => sum + (text?.length ?? 0), 0)
}

/**
 * Reads both again, and compares the operations of the source with those of the target. The blobs of the target are
 * compared with their records.
 *
 * @param blobs undefined to compare no blobs
 */
export async function compare(source: Archive, target: Archive, blobs?: BlobCopier): Promise<Comparison> {
  const [sources, targets] = [new Digester(), new Digester()]
  const different: string[] = []
  let others = 0
  for await (const pairs of inPages(sideBySide(source, target))) {
    const both = pairs.filter(pair => pair[0] !== undefined) as [Dump, Dump | undefined][]
    others += pairs.length - both.length
    const references = both.flatMap(([, theirs]) => (theirs && blobOf(theirs)) ?? [])
    const found = await blobs?.inTarget(references)
    const digests = both.map(([ours, theirs]) => ({
      id: ours.operation.id,
      wanted: sources.add(ours, found && blobOf(ours)),
      there: theirs && targets.add(theirs, found?.get(blobOf(theirs)?.key ?? '')),
    }))
    const unequal = digests.filter(({ wanted, there }) => there !== wanted).map(({ id }) => id)
    different.push(...unequal.slice(0, MOST_NAMED - different.length))
  }
  return { source: sources.sum(), target: targets.sum(), others, different }
}

/**
 * A digest that equal operations share, whichever store they are in. PostgreSQL holds no NUL and no half of a surrogate
 * pair, and replaces them in log lines, so these are compared without.
 */
function digestOf({ steps, logs, ...rest }: Dump): string {
  const byName = Object.fromEntries(steps)
  const lines = logs.map(line => ({ ...line, message: line.message.toWellFormed().replaceAll('\0', '\ufffd') }))
  return fingerprint({ ...rest, steps: byName, logs: lines })
}

class Digester {
  readonly #operations = createHash('sha256')
  readonly #blobs = createHash('sha256')
  readonly #counts = { operations: 0, blobs: 0, bytes: 0 }

  /** Gives equal values only for equal operations. */
  add(dump: Dump, blob: BlobContent | undefined): string {
    const line = `${dump.operation.id} ${digestOf(dump)}\n`
    this.#operations.update(line)
    this.#counts.operations++
    if (blob === undefined) return line
    const blobLine = `${nameOf(blob)}\n`
    this.#blobs.update(blobLine)
    this.#counts.blobs++
    this.#counts.bytes += blob.length
    return line + blobLine
  }

  sum(): Digest {
    const { operations: count, blobs, bytes } = this.#counts
    const digest = this.#operations.digest('hex')
    return { count, digest, blobs: { count: blobs, bytes, digest: this.#blobs.digest('hex') } }
  }
}

async function* inPages<Item>(items: AsyncIterable<Item>): AsyncGenerator<Item[]> {
  let page: Item[] = []
  for await (const item of items) {
    page.push(item)
    if (page.length < PAGE) continue
    yield page
    page = []
  }
  if (page.length > 0) yield page
}

/** Every operation of either store, with its counterpart in the other store. */
async function* sideBySide(source: Archive, target: Archive): AsyncGenerator<[Dump | undefined, Dump | undefined]> {
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

/** A value after every id, for the end of a store. */
function idOf(dump: Dump | undefined): string {
  return dump?.operation.id ?? '\u{10ffff}'
}

async function* dumpsOf(store: Archive): AsyncGenerator<Dump, void> {
  let after: string | undefined
  for (;;) {
    const page = await store.dump(after, PAGE)
    if (page.length === 0) return
    yield* page
    after = page.at(-1)?.operation.id
  }
}
