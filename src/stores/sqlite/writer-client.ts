/** Two ways to run a writer: in a thread, or on the event loop. */
import { Worker } from 'node:worker_threads'
import type { BatchResult } from '../../util/batcher.ts'
import { threadExecArgv } from '../../util/exec-argv.ts'
import { siblingModuleUrl } from '../../util/module-url.ts'
import type { Database, DatabaseLocation } from './database.ts'
import { migrate } from './schema.ts'
import { type Write, type WriteResult, Writer } from './writer.ts'
import { disclose, enclose, unpackResults, type WriterReply } from './writer-messages.ts'

/**
 * The size of the young generation of the thread's heap, enough for the objects of a few batches. With Node's default,
 * a busy thread takes ten times as much memory before it collects garbage.
 */
const YOUNG_GENERATION_MB = 12

/** A question to the thread that has no answer yet. */
interface Asked extends PromiseWithResolvers<unknown> {
  readonly number: number
}

/** Executes batches, one at a time, and answers write by write. */
export interface WriterClient {
  execute(writes: readonly Write[], now: number): Promise<readonly BatchResult<WriteResult>[]>
  /**
   * Returns a different number after a connection other than the writer's own has committed. It is not part of a batch.
   */
  look(): Promise<number>
  close(): Promise<void>
}

/**
 * A writer on the event loop.
 *
 * @param patient see {@link Writer}; false for a connection that the user has opened, since the user configures how it
 * waits
 */
export function inlineWriter(database: Database, { patient }: { readonly patient: boolean }): WriterClient {
  migrate(database, { patient })
  const writer = new Writer(database, { patient })
  return {
    execute: async (writes, now) => writer.execute(writes, now),
    look: async () => writer.look(),
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
  /** Few at once: a batch, and a look. */
  readonly #asked: Asked[] = []
  #questions = 0
  /** The thread that is starting or has started, if any. */
  #thread: Promise<Worker> | undefined

  private constructor(location: DatabaseLocation) {
    this.#location = location
  }

  static async open(location: DatabaseLocation): Promise<ThreadWriter> {
    const writer = new ThreadWriter(location)
    await writer.#started()
    return writer
  }

  async execute(writes: readonly Write[], now: number): Promise<readonly BatchResult<WriteResult>[]> {
    const thread = await this.#started()
    const number = ++this.#questions
    try {
      thread.postMessage(enclose({ kind: 'batch', number, writes, now }))
    } catch (error) {
      return await this.#withoutUncloneable(writes, now, error)
    }
    return unpackResults(writes, await this.#answer<readonly BatchResult<unknown>[]>(number))
  }

  async look(): Promise<number> {
    const thread = await this.#started()
    const number = ++this.#questions
    thread.postMessage(enclose({ kind: 'look', number }))
    const seen = await this.#answer<BatchResult<number>>(number)
    if ('error' in seen) throw seen.error
    return seen.value
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

  #answer<Answer>(number: number): Promise<Answer> {
    const asked = Promise.withResolvers<unknown>()
    this.#asked.push({ number, ...asked })
    return asked.promise as Promise<Answer>
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
      else if (reply !== undefined) this.#settle(reply)
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

  #settle({ number, answer }: Exclude<WriterReply, { kind: 'ready' }>): void {
    const at = this.#asked.findIndex(asked => asked.number === number)
    if (at >= 0) this.#asked.splice(at, 1)[0]?.resolve(answer)
  }

  #fail(error: unknown): void {
    for (const { reject } of this.#asked.splice(0)) reject(error)
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
