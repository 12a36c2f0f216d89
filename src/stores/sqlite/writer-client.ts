/** Two ways to run a writer: in a thread, or on the event loop. */
import { Worker } from 'node:worker_threads'
import type { BatchResult } from '../../util/batcher.ts'
import { threadExecArgv } from '../../util/exec-argv.ts'
import { siblingModuleUrl } from '../../util/module-url.ts'
import { type CommitNotices, CommitWatcher } from './commit-watcher.ts'
import { type Database, type DatabaseLocation, realFile } from './database.ts'
import { migrate } from './schema.ts'
import { type Write, type WriteResult, Writer } from './writer.ts'
import { disclose, enclose, unpackResults, type WriterReply } from './writer-messages.ts'

/**
 * The size of the young generation of the thread's heap, enough for the objects of a few batches. With Node's default,
 * a busy thread takes ten times as much memory before it collects garbage.
 */
const YOUNG_GENERATION_MB = 12

/** Executes batches, one at a time, and answers write by write. */
export interface WriterClient {
  execute(writes: readonly Write[], now: number): Promise<readonly BatchResult<WriteResult>[]>
  close(): Promise<void>
}

/** A writer on the event loop, over a connection that the store has opened. It notices the commits of other processes. */
export function inlineWriter(database: Database, path: string, notices: CommitNotices): WriterClient {
  migrate(database, { patient: true })
  const writer = new Writer(database, { patient: true })
  const watcher = new CommitWatcher({ path: realFile(path), version: () => writer.look(), ...notices })
  return {
    execute: async (writes, now) => writer.execute(writes, now),
    close: async () => {
      watcher.close()
      database.close()
    },
  }
}

/** A writer over the only connection of the store: in memory, or one that the user has opened and configured. */
export function onlyWriter(database: Database): WriterClient {
  migrate(database, { patient: false })
  const writer = new Writer(database, { patient: false })
  return {
    execute: async (writes, now) => writer.execute(writes, now),
    close: async () => {
      database.close()
    },
  }
}

/**
 * A writer in a thread, so that the event loop never waits for the disk or for a lock of another process. If the thread
 * dies, the batch under way fails with an unknown outcome, and the thread is replaced.
 */
export class ThreadWriter implements WriterClient {
  readonly #location: DatabaseLocation
  readonly #notices: CommitNotices
  /** The batch that has no answer yet, if any. */
  #batch: PromiseWithResolvers<readonly BatchResult<unknown>[]> | undefined
  /** The thread that is starting or has started, if any. */
  #thread: Promise<Worker> | undefined

  private constructor(location: DatabaseLocation, notices: CommitNotices) {
    this.#location = location
    this.#notices = notices
  }

  static async open(location: DatabaseLocation, notices: CommitNotices): Promise<ThreadWriter> {
    const writer = new ThreadWriter(location, notices)
    await writer.#started()
    return writer
  }

  async execute(writes: readonly Write[], now: number): Promise<readonly BatchResult<WriteResult>[]> {
    const thread = await this.#started()
    try {
      thread.postMessage(enclose({ kind: 'batch', writes, now }))
    } catch (error) {
      return await this.#withoutUncloneable(writes, now, error)
    }
    this.#batch = Promise.withResolvers()
    return unpackResults(writes, await this.#batch.promise)
  }

  async close(): Promise<void> {
    const thread = await this.#thread
    if (thread === undefined) return
    const exited = new Promise(resolve => thread.once('exit', resolve))
    thread.postMessage(enclose({ kind: 'close' }))
    await exited
  }

  /**
   * Leaves out writes that cannot be sent to the thread, such as a problem that contains a function. Only these fail.
   */
  async #withoutUncloneable(
    writes: readonly Write[],
    now: number,
    cause: unknown,
  ): Promise<BatchResult<WriteResult>[]> {
    const sendable = writes.map(isCloneable)
    if (sendable.every(Boolean)) throw cause
    const rest = writes.filter((_, index) => sendable[index])
    const settled = rest.length === 0 ? [] : [...(await this.execute(rest, now))]
    return sendable.map(sent => (sent ? (settled.shift() ?? { error: cause }) : { error: cause }))
  }

  #started(): Promise<Worker> {
    this.#thread ??= this.#start()
    return this.#thread
  }

  async #start(): Promise<Worker> {
    const thread = new Worker(siblingModuleUrl(import.meta.url, 'writer-thread'), {
      workerData: this.#location,
      execArgv: threadExecArgv(),
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB },
    })
    const ready = Promise.withResolvers<void>()
    const fail = (error: unknown) => {
      ready.reject(error)
      this.#fail(error)
    }
    thread.on('message', posted => {
      const reply = disclose<WriterReply>(posted)
      if (reply?.kind === 'ready') ready.resolve()
      else if (reply !== undefined) this.#receive(reply)
    })
    thread.on('error', fail)
    thread.on('messageerror', fail)
    thread.once('exit', () => {
      this.#thread = undefined
      fail(new Error("The SQLite store's writer thread has ended."))
    })
    await ready.promise
    return thread
  }

  #receive(reply: Exclude<WriterReply, { kind: 'ready' }>): void {
    switch (reply.kind) {
      case 'settled':
        this.#batch?.resolve(reply.answer)
        break
      case 'commit':
        this.#notices.onCommit()
        break
      case 'rename':
        this.#notices.onRename()
        break
      case 'warning':
        this.#notices.warn(reply.message)
    }
  }

  #fail(error: unknown): void {
    this.#batch?.reject(error)
  }
}

function isCloneable(write: Write): boolean {
  try {
    structuredClone(write)
    return true
  } catch {
    return false
  }
}
