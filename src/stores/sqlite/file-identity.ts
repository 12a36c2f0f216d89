/**
 * Whether a file, its write-ahead log and its shared memory are still those that were opened. A connection goes on
 * with files that have lost their names: what it commits then is synced, and gone with the process. Without the name
 * of the shared memory, in which the locks are, a process that opens the file later shares no lock with it.
 */
import { statSync } from 'node:fs'
import { realFile } from './database.ts'

export class FileIdentity {
  readonly #path: string
  readonly #known: readonly (readonly [path: string, identity: string])[]
  #lost: Error | undefined

  /** @param path of a database that is open */
  constructor(path: string) {
    this.#path = path
    const file = realFile(path)
    // What cannot be found, such as a path that only SQLite reads, cannot be missed either.
    this.#known = [file, `${file}-wal`, `${file}-shm`].flatMap(one => {
      const identity = identityOf(one)
      return identity === undefined ? [] : [[one, identity] as const]
    })
  }

  /** Looks at the files, in some microseconds. Those that are back, such as after a rename that was undone, count again. */
  look(): void {
    const [missing] = this.#known.find(([path, identity]) => identityOf(path) !== identity) ?? []
    this.#lost = missing === undefined ? undefined : new Error(describe(this.#path, missing))
  }

  /** @throws when the last look found one of the files deleted, moved or replaced, and it still is */
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
