/**
 * Checks whether a file, its write-ahead log and its shared memory are still those that were opened. A connection
 * continues to use deleted files: its commits are synced, but lost when the process ends. If the shared memory, which
 * contains the locks, was deleted, a process that opens the file later does not share locks with this one.
 */
import { statSync } from 'node:fs'
import { realFile } from './database.ts'

export class FileIdentity {
  readonly #path: string
  readonly #known: readonly (readonly [path: string, identity: string])[]
  #lost: Error | undefined

  /** @param path the path of an open database */
  constructor(path: string) {
    this.#path = path
    const file = realFile(path)
    // A file that is not found at the start, such as a path that only SQLite can read, is not checked.
    this.#known = [file, `${file}-wal`, `${file}-shm`].flatMap(one => {
      const identity = identityOf(one)
      return identity === undefined ? [] : [[one, identity] as const]
    })
  }

  /**
   * Checks the files, which takes a few microseconds. Files that are back, such as after a rename that was undone, are
   * valid again.
   */
  look(): void {
    const [missing] = this.#known.find(([path, identity]) => identityOf(path) !== identity) ?? []
    this.#lost = missing === undefined ? undefined : new Error(describe(this.#path, missing))
  }

  /** @throws if one of the files was deleted, moved or replaced at the last look, and still is */
  check(): void {
    if (this.#lost === undefined) return
    this.look()
    if (this.#lost !== undefined) throw this.#lost
  }
}

function identityOf(path: string): string | undefined {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false })
  return found && `${found.dev}/${found.ino}`
}

function describe(path: string, missing: string): string {
  return (
    `The SQLite file "${path}" was deleted, moved or replaced while it was open (${missing} is not what was opened), ` +
    'so nothing more is read or written: it would be lost. End every process that has it open; put the file ' +
    'back with its -wal file, or a backup with waybill restore; and start the process again.'
  )
}
