/**
 * Notices the commits of other processes to a file: by file events of its folder and, if there are none, by a timer.
 * What it notices is a hint. It may come late or twice, and none of its callbacks ever throws into the event loop.
 */
import { type FSWatcher, watch } from 'node:fs'
import { basename, dirname } from 'node:path'

/** Whom a {@link CommitWatcher} tells. None of these may throw. */
export interface CommitNotices {
  /** Called when another connection has committed. */
  readonly onCommit: () => void
  /** Called when a file of the folder may have been created, renamed or deleted, and each second. */
  readonly onRename: () => void
  /** Called once, with a message for the operator, if the folder cannot be watched. */
  readonly warn: (message: string) => void
}

/** What a {@link CommitWatcher} needs. */
export interface CommitWatcherOptions extends CommitNotices {
  /** The path of the file, with links resolved, since the log is beside the real file. */
  readonly path: string
  /** Returns a different number after any other connection has committed. */
  readonly version: () => number
}

/**
 * The delay of the first look, in milliseconds. Writes cause bursts of file events, and one look for each burst is
 * enough.
 */
const FIRST_LOOK_MS = 5
/**
 * The delay of the last look, in milliseconds, for a commit whose sync is slow. All looks together take about twice as
 * long.
 */
const LAST_LOOK_MS = 1280
/** How often a look is taken without any event, in milliseconds. */
const SLOW_POLL_MS = 1000
/** The same if no events arrive. A look takes some microseconds. */
const FAST_POLL_MS = 50
/**
 * This many commits in a row without an event mean that the file system reports none. A single commit may be noticed
 * before its event.
 */
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
    this.#seen = this.#version()
    this.#names = setInterval(options.onRename, SLOW_POLL_MS).unref()
    this.#pollEvery(SLOW_POLL_MS)
    try {
      // Watches the folder and not the log: SQLite deletes the log when the last connection closes, and creates a new
      // one later.
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
    // A file was created, renamed or deleted. Writes of SQLite are reported as `change`.
    if (event === 'rename') this.#options.onRename()
    if (name === this.#log && this.#lookDelay !== FIRST_LOOK_MS) this.#lookIn(FIRST_LOOK_MS)
  }

  /**
   * The event is caused by the write to the log, but the commit is visible only after the sync. So it looks again until
   * there is something new.
   */
  #lookIn(delay: number): void {
    clearTimeout(this.#look)
    this.#lookDelay = delay
    this.#look = setTimeout(() => this.#lookAgain(delay), delay).unref()
  }

  /**
   * Looks again after a new commit was seen: that may be an earlier one, while the commit that caused the event is
   * still syncing.
   */
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

  /** Undefined if the file cannot be read now; the next read of the store reports that error. */
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
