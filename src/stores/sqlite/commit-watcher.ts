/**
 * Notices the commits of other processes on a file: by the events of its folder, and by a timer where there are none.
 * What it notices is a hint. It may come late or twice, and none of its callbacks ever throws into the event loop.
 */
import { type FSWatcher, watch } from 'node:fs'
import { basename, dirname } from 'node:path'

/** What a {@link CommitWatcher} needs. */
export interface CommitWatcherOptions {
  /** The file, links followed: the log lies beside it. */
  readonly path: string
  /** Gives another number whenever any connection but its own has committed. */
  readonly version: () => number
  /** Called when it has. Must not throw. */
  readonly onCommit: () => void
  /** Called when a name in the folder may have been given or taken, and each second. Must not throw. */
  readonly onRename: () => void
  /** Called once, with a sentence for the operator, where the folder cannot be watched. */
  readonly warn: (message: string) => void
}

/** Writes come as bursts of file events; one look for each burst is enough. */
const FIRST_LOOK_MS = 5
/** How long the last look waits for a commit whose sync is slow: after twice as long in all, it is not looked for. */
const LAST_LOOK_MS = 1280
/** How often a look is taken without any event, in milliseconds. */
const SLOW_POLL_MS = 1000
/** The same where events do not come. A look takes some microseconds. */
const FAST_POLL_MS = 50
/** This many commits in a row without any event mean that the mount reports none. One alone may be ahead of its event. */
const SILENT_COMMITS = 3

export class CommitWatcher {
  readonly #options: CommitWatcherOptions
  readonly #log: string
  #seen: number | undefined
  #watcher: FSWatcher | undefined
  #look: NodeJS.Timeout | undefined
  #lookDelay = 0
  readonly #names: NodeJS.Timeout
  #poll: NodeJS.Timeout | undefined
  #silentCommits = 0
  #closed = false

  /** Starts at once. */
  constructor(options: CommitWatcherOptions) {
    this.#options = options
    this.#log = `${basename(options.path)}-wal`
    this.#seen = options.version()
    this.#names = setInterval(options.onRename, SLOW_POLL_MS).unref()
    this.#pollEvery(SLOW_POLL_MS)
    try {
      // The folder and not the file: SQLite deletes the log when the last connection closes, and makes another.
      this.#watcher = watch(dirname(options.path), { persistent: false }, (event, name) => this.#onEvent(event, name))
      this.#watcher.once('error', error => this.#withoutEvents(error.message))
    } catch (error) {
      this.#withoutEvents(error instanceof Error ? error.message : String(error))
    }
  }

  close(): void {
    this.#closed = true
    this.#watcher?.close()
    clearTimeout(this.#look)
    clearInterval(this.#poll)
    clearInterval(this.#names)
  }

  #onEvent(event: string, name: string | null): void {
    this.#silentCommits = 0
    // Its name was taken or given: what SQLite itself does to the file comes as a change.
    if (event === 'rename') this.#options.onRename()
    if (name === this.#log && this.#lookDelay !== FIRST_LOOK_MS) this.#lookIn(FIRST_LOOK_MS)
  }

  /** The log is written before its sync, and a commit can be seen only after it: so look until there is something new. */
  #lookIn(delay: number): void {
    clearTimeout(this.#look)
    this.#lookDelay = delay
    this.#look = setTimeout(() => this.#lookAgain(delay), delay).unref()
  }

  /** What is new may be an earlier commit, while the sync of the one that caused the event is still under way. */
  #lookAgain(delay: number): void {
    this.#lookDelay = 0
    if (this.#foundCommit()) this.#lookIn(FIRST_LOOK_MS)
    else if (delay < LAST_LOOK_MS) this.#lookIn(2 * delay)
  }

  #foundCommit(): boolean {
    const version = this.#version()
    if (version === undefined || version === this.#seen) return false
    this.#seen = version
    this.#options.onCommit()
    return true
  }

  /** Undefined where the file cannot be read now, which the next read of the store reports. */
  #version(): number | undefined {
    try {
      return this.#options.version()
    } catch {
      return undefined
    }
  }

  #pollEvery(ms: number): void {
    clearInterval(this.#poll)
    this.#poll = setInterval(() => this.#pollOnce(), ms).unref()
  }

  #pollOnce(): void {
    const isExpected = this.#lookDelay > 0
    if (!this.#foundCommit() || isExpected || this.#watcher === undefined) return
    this.#silentCommits++
    if (this.#silentCommits === SILENT_COMMITS) this.#withoutEvents('its file system reports no changes')
  }

  #withoutEvents(reason: string): void {
    if (this.#closed) return
    this.#watcher?.on('error', () => {}).close()
    this.#watcher = undefined
    this.#pollEvery(FAST_POLL_MS)
    this.#options.warn(
      `The folder "${dirname(this.#options.path)}" of the SQLite file cannot be watched (${reason}). ` +
        `Waybill looks for the writes of other processes every ${FAST_POLL_MS} ms instead.`,
    )
  }
}
