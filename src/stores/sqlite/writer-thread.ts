/** The writer's thread: it opens its own connection, migrates the file, and answers each batch that it is sent. */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { type DatabaseLocation, openWriter } from './database.ts'
import { migrate } from './schema.ts'
import { type Write, Writer } from './writer.ts'

/** What the thread is sent. */
export interface BatchMessage {
  readonly writes: readonly Write[]
  readonly now: number
}

async function serve(port: MessagePort, location: DatabaseLocation): Promise<void> {
  const database = await openWriter(location)
  migrate(database)
  const writer = new Writer(database)
  port.on('message', (message: BatchMessage | 'close') => {
    if (message === 'close') {
      database.close()
      port.close()
    } else {
      port.postMessage(writer.execute(message.writes, message.now))
    }
  })
  port.postMessage('ready')
}

if (parentPort === null) throw new Error('The writer of the SQLite store runs in a worker thread.')
await serve(parentPort, workerData as DatabaseLocation)
