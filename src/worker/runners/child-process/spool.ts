/**
 * Where a child process puts the bytes of a result for the worker, which uploads them: in files of a private folder for
 * each child, which is deleted with the child. The folder's name names its worker, so that the next worker deletes what
 * a killed one left behind.
 */
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { stopAtAbort, streamBytes } from '../../../blobs/byte-streams.ts'
import type { Media } from '../../../model/media.ts'
import { hostId } from '../../../util/host-id.ts'
import { isProcessAlive } from '../../../util/process-alive.ts'

const PREFIX = `waybill-spool-${hostId}-`

/** A file with the bytes of a result. */
export interface Spooled {
  readonly path: string
  /** The file was written for the worker, which deletes it. */
  readonly temporary: boolean
}

/**
 * Makes the folder of a child. Nobody else can read it (mode 0700).
 *
 * @throws when the system's folder for temporary files is full, missing or read-only
 */
export async function makeSpool(): Promise<string> {
  try {
    return await mkdtemp(join(tmpdir(), `${PREFIX}${process.pid}-`))
  } catch (cause) {
    throw new Error(
      `The folder for results cannot be made in ${tmpdir()}. Set TMPDIR to a folder with room that this process may write to.`,
      { cause },
    )
  }
}

export async function removeSpool(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true }).catch(() => {})
}

/** Removes the folders of workers of this machine that no longer run. */
export async function removeStraySpools(): Promise<void> {
  const names = await readdir(tmpdir()).catch(() => [])
  const strays = names.filter(
    name => name.startsWith(PREFIX) && !isProcessAlive(Number.parseInt(name.slice(PREFIX.length), 10)),
  )
  await Promise.all(strays.map(name => removeSpool(join(tmpdir(), name))))
}

/**
 * The file of a result: the file that the result names, or a new one. Writing stops when the signal aborts.
 *
 * @param newPath called where a new file is needed
 */
export async function spool({ body }: Media, newPath: () => Promise<string>, signal: AbortSignal): Promise<Spooled> {
  if (isFile(body)) return { path: resolve(body.path), temporary: false }
  const path = await newPath()
  try {
    await writeFile(path, stopAtAbort(streamBytes(body), signal), { flag: 'wx', mode: 0o600 })
    return { path, temporary: true }
  } catch (error) {
    await rm(path, { force: true })
    throw error
  }
}

function isFile(body: Media['body']): body is { readonly path: string } {
  // A file stream has a path, too.
  return typeof body === 'object' && 'path' in body && !(Symbol.asyncIterator in body)
}
