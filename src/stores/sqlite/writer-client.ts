/** Two ways to reach a writer: in a thread of its own, or on the event loop. */
import { Worker } from 'node:worker_threads'
import type { Settled } from '../../batch.ts'
import { sibling } from '../../sibling.ts'
import type { Database, DatabaseLocation } from './database.ts'
import { migrate } from './schema.ts'
import { type Write, type WriteResult, Writer } from './writer.ts'

/** Executes batches, one at a time, and answers write by write. */
export interface WriterClient {
  execute(writes: readonly Write[], now: number): Promise<readonly Settled<WriteResult>[]>
  close(): Promise<void>
}

/** A writer on the event loop: for a database in memory, or a connection the caller has opened. */
export function inlineWriter(database: Database): WriterClient {
  migrate(database)
  const writer = new Writer(database)
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
  #thread: Worker | undefined

  private constructor(location: DatabaseLocation) {
    this.#location = location
  }

  static async open(location: DatabaseLocation): Promise<ThreadWriter> {
    const writer = new ThreadWriter(location)
    await writer.#started()
    return writer
  }

  async execute(writes: readonly Write[], now: number): Promise<readonly Settled<WriteResult>[]> {
    const thread = await this.#started()
    const answer = nextMessage<readonly Settled<WriteResult>[]>(thread)
    thread.postMessage({ writes, now })
    return await answer
  }

  async close(): Promise<void> {
    const thread = this.#thread
    if (thread === undefined) return
    const exited = new Promise(resolve => thread.once('exit', resolve))
    thread.postMessage('close')
    await exited
  }

  async #started(): Promise<Worker> {
    if (this.#thread !== undefined) return this.#thread
    const thread = new Worker(sibling(import.meta.url, 'writer-thread'), { workerData: this.#location })
    await nextMessage(thread)
    thread.on('error', () => {})
    thread.once('exit', () => {
      this.#thread = undefined
    })
    this.#thread = thread
    return thread
  }
}

function nextMessage<Message>(thread: Worker): Promise<Message> {
  return new Promise((resolve, reject) => {
    const settle = (act: () => void) => {
      thread.off('message', onMessage)
      thread.off('error', onError)
      thread.off('exit', onExit)
      act()
    }
    const onMessage = (message: Message) => settle(() => resolve(message))
    const onError = (error: unknown) => settle(() => reject(error))
    const onExit = () => settle(() => reject(new Error("The SQLite store's writer thread has ended.")))
    thread.on('message', onMessage)
    thread.on('error', onError)
    thread.on('exit', onExit)
  })
}
