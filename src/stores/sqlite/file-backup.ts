/** Copying a SQLite file while it is in use, and putting a copy in its place. */
import { closeSync, constants, copyFileSync, existsSync, fsyncSync, openSync, renameSync, rmSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import {
  checkOurs,
  type Database,
  type DatabaseLocation,
  lockAlone,
  openConnection,
  openWriter,
  select,
} from './database.ts'
import { isLocked } from './turns.ts'

/** What SQLite keeps beside a file, and reads as a part of any file of that name. */
const BESIDE = ['-wal', '-shm', '-journal'] as const

/**
 * Copies a store's file as it is at one moment to a new file, while any number of processes go on writing it. The copy
 * is synced to the disk before it has its name.
 *
 * @throws when there is no such file, or one at the target
 */
export async function backUp(path: string, target: string): Promise<void> {
  if (!existsSync(path)) throw new Error(`There is no SQLite file ${resolve(path)}.`)
  refuseExisting(target)
  await withPart(target, async part => {
    const database = await openWriter(locationOf(path))
    try {
      // Reads one snapshot: the online backup begins again at each commit of another process, and may never end.
      database.prepare('VACUUM INTO ?').run(part)
    } finally {
      database.close()
    }
    sync(part)
    renameSync(part, target)
  })
  sync(dirname(resolve(target)))
}

/**
 * Puts a copy that {@link backUp} has made in the place of a store's file. What was there is kept beside it, its log too:
 * a log that is left behind would be read as a part of the copy.
 *
 * @returns the name that the file before has now; undefined where there was none
 * @throws when the copy is not a file of Waybill's or is damaged, or any process has the store's file open
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

/** Makes a file under a name of its own first. Nothing of it is left where that fails: the disk may be full. */
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
  return select<{ quick_check: string }>(database, 'PRAGMA quick_check(1)').get()?.quick_check ?? ''
}

async function refuseOpen(path: string): Promise<void> {
  if (!existsSync(path)) return
  try {
    lockAlone(await openConnection(locationOf(path)))
  } catch (error) {
    // One that cannot be read for another reason is what a backup is for.
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
