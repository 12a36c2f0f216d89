/** The writer's thread: it opens its own connection, migrates the file, and answers each batch that it is sent. */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import type { BatchResult } from '../../util/batcher.ts'
import { type DatabaseLocation, openWriter } from './database.ts'
import { migrate } from './schema.ts'
import { Writer } from './writer.ts'
import { disclose, enclose, packResults, type WriterRequest } from './writer-messages.ts'

async function serve(port: MessagePort, location: DatabaseLocation): Promise<void> {
  const database = await openWriter(location)
  migrate(database, { patient: true })
  const writer = new Writer(database, { patient: true })
  port.on('message', posted => {
    const request = disclose<WriterRequest>(posted)
    if (request?.kind === 'batch') {
      const { number, writes, now } = request
      const answer = packResults(writes, writer.execute(writes, now))
      port.postMessage(enclose({ kind: 'settled', number, answer }))
    }
    if (request?.kind === 'look')
      port.postMessage(enclose({ kind: 'seen', number: request.number, answer: look(writer) }))
    if (request?.kind === 'close') {
      database.close()
      port.close()
    }
  })
  port.postMessage(enclose({ kind: 'ready' }))
}

function look(writer: Writer): BatchResult<number> {
  try {
    return { value: writer.look() }
  } catch (error) {
    return { error }
  }
}

if (parentPort === null) throw new Error('The writer of the SQLite store runs in a worker thread.')
await serve(parentPort, workerData as DatabaseLocation)
