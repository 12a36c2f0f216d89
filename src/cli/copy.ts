/** `waybill copy`: moves everything from one store to another, blobs too, and compares the copy. */

import { realpathSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import type { BlobStore } from '../blobs/blob-store.ts'
import { redactUrl } from '../from-url/urls.ts'
import { listAllActive } from '../stores/list-all-active.ts'
import type { Archive, WorkQueue } from '../stores/store.ts'
import { type PatienceOptions, patiently } from '../util/patience.ts'
import { type Command, JSON_OPTION, type ParsedArgs, UsageError } from './command.ts'
import { type Comparison, compare, copyAll, type Digest } from './copying.ts'
import { BlobCopier } from './copying-blobs.ts'
import { withBlobs, withStore } from './open.ts'
import { print, printJson } from './output.ts'

export const copy: Command = {
  name: 'copy',
  summary: 'copy every operation to another store, with its blobs, and compare both stores',
  options: {
    from: { value: 'URL', help: 'store to copy from; stop its APIs and workers first' },
    to: { value: 'URL', help: 'store to copy to' },
    'from-blobs': { value: 'URL', help: 'blob store of the first store' },
    'to-blobs': { value: 'URL', help: 'blob store of the second store; with the same URL, blobs stay where they are' },
    force: { help: 'copy even if operations are running: they run again from the copy' },
    ...JSON_OPTION,
  },
  examples: ['waybill copy --from sqlite:./orders.db --to postgres://owner@db/orders'],
  run: runCopy,
}

const CURE =
  'name both blob stores with --from-blobs URL and --to-blobs URL; with the same URL twice, blobs stay where they are.'

/** The blob stores of the two stores; the same one twice if blobs stay where they are. */
interface BlobPair {
  readonly from: BlobStore
  readonly to: BlobStore
}

async function runCopy(given: ParsedArgs): Promise<number> {
  const [from, to] = [needed(given, 'from'), needed(given, 'to')]
  if (placeOf(from) === placeOf(to))
    throw new UsageError(`--from and --to both name ${redactUrl(from)}: a copy needs two stores.`)
  const copyBetween = async (source: Archive & WorkQueue, pair: BlobPair) => {
    const running = (await listAllActive(source)).length
    if (running > 0 && !given.has('force')) {
      throw new Error(
        `Operations are running in ${redactUrl(from)}: ${running}. Stop its APIs and workers first, or repeat with --force.`,
      )
    }
    const options = { existing: false, brief: false, blobs: pair.to }
    const result = await withStore(to, target => copyAndCompare(source, target, pair), options)
    if (given.has('json')) printJson(result)
    else for (const line of linesOf(result)) print(line)
    return result.lost === 0 && result.different.length === 0 ? 0 : 1
  }
  return await withBlobPair(given, pair => withStore(from, source => copyBetween(source, pair), { blobs: pair.from }))
}

async function withBlobPair<T>(given: ParsedArgs, work: (pair: BlobPair) => Promise<T>): Promise<T> {
  const [fromUrl, toUrl] = [given.text('from-blobs') || undefined, given.text('to-blobs') || undefined]
  const withTarget = async (from: BlobStore) => {
    if (fromUrl !== undefined && toUrl !== undefined && placeOf(fromUrl) === placeOf(toUrl)) {
      return await work({ from, to: from })
    }
    return await withBlobs(toUrl, to => work({ from, to }), { cure: CURE })
  }
  return await withBlobs(fromUrl, withTarget, { cure: CURE, existing: true })
}

/**
 * A value that is equal for two URLs of one file or folder. For other URLs, the content shows whether they name the
 * same place.
 */
function placeOf(url: string): string {
  if (url.startsWith('sqlite:')) return realPath(resolve(url.slice('sqlite:'.length)))
  return url.startsWith('folder:') ? resolve(url.slice('folder:'.length)) : url
}

/** Resolves symbolic links, also for a path that does not exist yet. */
function realPath(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    const folder = dirname(path)
    return folder === path ? path : join(realPath(folder), basename(path))
  }
}

function needed(given: ParsedArgs, name: string): string {
  const url = given.text(name)
  if (url) return url
  throw new UsageError(`Both stores are needed: waybill copy --from sqlite:./orders.db --to postgres://….`)
}

/** What a copy did, and how the stores compare after it. */
interface CopyResult extends Comparison {
  /** Operations that were written, that were already there unchanged, and that have changed in the target since. */
  readonly written: number
  readonly same: number
  readonly ahead: number
  /** Blobs that were sent, and that were already there; if blobs stay where they are, all of them. */
  readonly blobs: Pick<BlobCopier, 'stays' | 'sent' | 'there'>
  /** Parts and blobs that the source has lost or holds damaged. */
  readonly lost: number
}

async function copyAndCompare(source: Archive, target: Archive, pair: BlobPair): Promise<CopyResult> {
  await pair.from.open?.()
  await pair.to.open?.()
  let lost = 0
  const onLack = (message: string) => {
    lost++
    process.stderr.write(`${message}\n`)
  }
  const copier = new BlobCopier(pair.from, pair.to, onLack, PATIENCE)
  const [from, to] = [patient(source), patient(target)]
  const { written, same, ahead } = await showingProgress(copier, onEach =>
    copyAll(from, to, { blobs: copier, onEach, onLack }),
  )
  const { stays, sent, there } = copier
  const compared = await compare(from, to, stays ? undefined : copier)
  return { written, same, ahead, blobs: { stays, sent, there }, lost, ...compared }
}

/** A copy may take hours. Meanwhile a store may be restarted or overloaded. */
const PATIENCE: PatienceOptions = {
  patienceMs: 120_000,
  onRetry: error => {
    const why = error instanceof Error ? error.message : String(error)
    process.stderr.write(`A store did not do what was asked; will retry: ${why}\n`)
  },
}

function patient(archive: Archive): Archive {
  return {
    dump: (after, limit) => patiently(() => archive.dump(after, limit), PATIENCE),
    restore: dumps => patiently(() => archive.restore(dumps), PATIENCE),
  }
}

function linesOf({ written, same, ahead, blobs, lost, ...compared }: CopyResult): string[] {
  return [
    `Copied ${written} operations; ${same} were there already, unchanged.`,
    ...(ahead > 0 ? [`${ahead} are newer in the target, and were left unchanged.`] : []),
    ...blobLines(blobs),
    ...comparisonLines(compared),
    ...(lost > 0 ? [`Parts or blobs that are lost or damaged in the source: ${lost}, each named above.`] : []),
  ]
}

function blobLines({ stays, sent, there }: CopyResult['blobs']): string[] {
  if (sent + there === 0) return []
  if (stays) return [`${there} blobs stay where they are.`]
  return [`Copied ${sent} blobs; ${there} were there already, unchanged.`]
}

const PROGRESS_MS = 10_000

/** Reports the progress at intervals. */
async function showingProgress<T>(
  blobs: BlobCopier,
  work: (onEach: (count: number) => void) => Promise<T>,
): Promise<T> {
  let operations = 0
  const tell = () => process.stderr.write(`${operations} operations, ${blobs.sent} blobs\n`)
  const timer = setInterval(tell, PROGRESS_MS)
  try {
    return await work(count => {
      operations = count
    })
  } finally {
    clearInterval(timer)
  }
}

function comparisonLines({ source, target, others, different }: Comparison): string[] {
  const lines = digestLines(source, target, ({ count, digest }) => `${count} operations, sha256 ${digest}`)
  if (source.blobs.count + target.blobs.count > 0) {
    lines.push(
      ...digestLines(
        source,
        target,
        ({ blobs }) => `${blobs.count} blobs, ${blobs.bytes} bytes, sha256 ${blobs.digest}`,
      ),
    )
  }
  if (others > 0) lines.push(`Operations that only the target has: ${others}.`)
  const isSame = different.length === 0
  return [
    ...lines,
    isSame
      ? 'The stores are the same.'
      : `The stores differ. The first operations that differ: ${different.join(', ')}.`,
  ]
}

function digestLines(source: Digest, target: Digest, line: (digest: Digest) => string): string[] {
  return [`source: ${line(source)}`, `target: ${line(target)}`]
}
