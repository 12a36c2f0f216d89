/** Copies a SQLite file while it is in use, and restores such a copy. */
import { closeSync, constants, copyFileSync, existsSync, fsyncSync, openSync, renameSync, rmSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import {
  checkOurs,
  type Database,
  type DatabaseLocation,
  lockAlone,
  openConnection,
  openWriter,
  prepare,
} from './database.ts'
import { isLocked } from './turns.ts'

/** The endings of the files that SQLite keeps beside a database file, and reads as parts of it. */
const BESIDE = ['-wal', '-shm', '-journal'] as const

/**
 * Copies a snapshot of a store's file to a new file, while any number of processes continue to write. The copy is
 * synced to the disk before it gets its final name.
 *
 * @throws if the file does not exist, or the target exists already
 */
export async function backUp(path: string, target: string): Promise<void> {
  if (!existsSync(path)) throw new Error(`There is no SQLite file ${resolve(path)}.`)
  refuseExisting(target)
  await withPart(target, async part => {
    const database = await openWriter(locationOf(path))
    try {
      // VACUUM INTO reads one snapshot. The online backup would begin again at each commit of another process, and
      // might never end.
      prepare(database, 'VACUUM INTO ?').run(part)
    } finally {
      database.close()
    }
    sync(part)
    renameSync(part, target)
  })
  sync(dirname(resolve(target)))
}

/**
 * Replaces a store's file by a copy that {@link backUp} has made. The old file and its log are kept under another name:
 * SQLite would read a log that stayed as a part of the copy.
 *
 * @returns the new name of the old file; undefined if there was none
 * @throws if the copy is damaged or is not a file of Waybill, or any process has the store's file open
 */
export async function restore(copy: string, path: string): Promise<string | undefined> {
  await checkCopy(copy)
  const before = await withPart(path, async part => {
    copyFileSync(copy, part)
    sync(part)
    await refuseOpen(path)
    const before = setAside(path)
    renameSync(part, path)
    return before
  })
  sync(dirname(resolve(path)))
  return before
}

/**
 * Creates a file under a temporary name first. If that fails, such as on a full disk, the temporary file is deleted.
 */
async function withPart<Result>(path: string, make: (part: string) => Promise<Result>): Promise<Result> {
  const part = `${path}.part`
  rmSync(part, { force: true })
  try {
    return await make(part)
  } finally {
    rmSync(part, { force: true })
  }
}

async function checkCopy(copy: string): Promise<void> {
  if (!existsSync(copy)) throw new Error(`There is no backup ${resolve(copy)}.`)
  const log = `${copy}-wal`
  if (existsSync(log))
    throw new Error(`${log} lies beside the backup: it is in use, or was not made by waybill backup.`)
  const database = await openConnection(locationOf(copy))
  try {
    checkOurs(database)
    const problems = checkOf(database)
    if (problems !== 'ok') throw new Error(`The backup ${copy} is damaged: ${problems}`)
  } finally {
    database.close()
  }
}

function checkOf(database: Database): string {
  return prepare<{ quick_check: string }>(database, 'PRAGMA quick_check(1)').get()?.quick_check ?? ''
}

async function refuseOpen(path: string): Promise<void> {
  if (!existsSync(path)) return
  try {
    lockAlone(await openConnection(locationOf(path)))
  } catch (error) {
    // A file that cannot be read for another reason may be replaced: that is what a backup is for.
    if (!isLocked(error)) return
    const message = `The SQLite file "${path}" is open in another process: end every process that uses it, and try again.`
    throw new Error(message, { cause: error })
  }
}

function setAside(path: string): string | undefined {
  const before = `${path}.replaced-${new Date().toISOString().replaceAll(/[:.]/g, '-')}`
  const names = ['', ...BESIDE].filter(suffix => existsSync(`${path}${suffix}`))
  for (const suffix of names) renameSync(`${path}${suffix}`, `${before}${suffix}`)
  return names.length === 0 ? undefined : before
}

function refuseExisting(target: string): void {
  if (existsSync(target)) throw new Error(`The file ${resolve(target)} already exists: name a new one.`)
}

function locationOf(path: string): DatabaseLocation {
  return { path, driver: 'node:sqlite', synchronous: 'FULL' }
}

/** Syncs a file, or a folder with the names in it, to the disk. */
function sync(path: string): void {
  const file = openSync(path, constants.O_RDONLY)
  try {
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}
