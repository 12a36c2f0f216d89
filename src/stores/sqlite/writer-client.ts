/** Two ways to reach a writer: in a thread of its own, or on the event loop. */
import { Worker } from 'node:worker_threads'
import type { BatchResult } from '../../util/batcher.ts'
import { threadExecArgv } from '../../util/exec-argv.ts'
import { siblingModuleUrl } from '../../util/module-url.ts'
import type { Database, DatabaseLocation } from './database.ts'
import { migrate } from './schema.ts'
import { type Write, type WriteResult, Writer } from './writer.ts'
import { disclose, enclose, unpackResults, type WriterReply } from './writer-messages.ts'

/** For the objects of a few batches. Node's own default lets a busy thread take ten times as much before it collects any. */
const YOUNG_GENERATION_MB = 12

/** Executes batches, one at a time, and answers write by write. */
export interface WriterClient {
  execute(writes: readonly Write[], now: number): Promise<readonly BatchResult<WriteResult>[]>
  close(): Promise<void>
}

/**
 * A writer on the event loop.
 *
 * @param patient as {@link Writer} takes it: not for a connection that the caller has opened, whose waiting is the caller's
 */
export function inlineWriter(database: Database, { patient }: { readonly patient: boolean }): WriterClient {
  migrate(database)
  const writer = new Writer(database, { patient })
  return {
    execute: async (writes, now) => writer.execute(writes, now),
    close: async () => {
      database.close()
    },
  }
}

/**
 * A writer in a thread, so that the event loop never waits for the disk or for another process' lock.
 * A thread that dies fails the batch it had, whose outcome is then unknown, and is replaced.
 */
export class ThreadWriter implements WriterClient {
  readonly #location: DatabaseLocation
  #batches = 0
  #thread: Worker | undefined

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
    const number = ++this.#batches
    const reply = replyOf(thread, reply => (isAnswerTo(number, reply) ? reply.settled : undefined))
    try {
      thread.postMessage(enclose({ kind: 'batch', number, writes, now }))
    } catch (error) {
      reply.forget()
      return await this.#withoutUncloneable(writes, now, error)
    }
    return unpackResults(writes, await reply.promise)
  }

  async close(): Promise<void> {
    const thread = this.#thread
    if (thread === undefined) return
    const exited = new Promise(resolve => thread.once('exit', resolve))
    thread.postMessage(enclose({ kind: 'close' }))
    await exited
  }

  /** A write that cannot be sent, such as a problem that holds a function, fails alone. */
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

  async #started(): Promise<Worker> {
    if (this.#thread !== undefined) return this.#thread
    const thread = new Worker(siblingModuleUrl(import.meta.url, 'writer-thread'), {
      workerData: this.#location,
      execArgv: threadExecArgv(),
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB },
    })
    await replyOf(thread, reply => (reply.kind === 'ready' ? true : undefined)).promise
    thread.on('error', () => {})
    thread.once('exit', () => {
      this.#thread = undefined
    })
    this.#thread = thread
    return thread
  }
}

function isAnswerTo(number: number, reply: WriterReply): reply is WriterReply & { kind: 'settled' } {
  return reply.kind === 'settled' && reply.number === number
}

function isCloneable(write: Write): boolean {
  try {
    structuredClone(write)
    return true
  } catch {
    return false
  }
}

/**
 * Waits for one reply of the thread, and passes over everything else that comes through its port.
 *
 * @param pick what is waited for in a reply; undefined where the reply is another one
 */
function replyOf<Picked>(thread: Worker, pick: (reply: WriterReply) => Picked | undefined) {
  const { promise, resolve, reject } = Promise.withResolvers<Picked>()
  const onMessage = (posted: unknown) => {
    const reply = disclose<WriterReply>(posted)
    const picked = reply && pick(reply)
    if (picked !== undefined) resolve(picked)
  }
  const onExit = () => reject(new Error("The SQLite store's writer thread has ended."))
  const listeners = { message: onMessage, messageerror: reject, error: reject, exit: onExit }
  for (const [event, listener] of Object.entries(listeners)) thread.on(event, listener)
  const forget = () => {
    for (const [event, listener] of Object.entries(listeners)) thread.off(event, listener)
  }
  return { promise: promise.finally(forget), forget }
}
