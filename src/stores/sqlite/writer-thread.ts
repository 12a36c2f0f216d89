/**
 * The writer's thread: it opens its own connection, migrates the file, and answers each batch that it is sent. It also
 * watches for the commits of other processes: the events of its own commits would wake the event loop once for each
 * page that is written, while here they are one event after each commit.
 */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { CommitWatcher } from './commit-watcher.ts'
import { type DatabaseLocation, openWriter, realFile } from './database.ts'
import { migrate } from './schema.ts'
import { Writer } from './writer.ts'
import { disclose, enclose, packResults, type WriterReply, type WriterRequest } from './writer-messages.ts'

async function serve(port: MessagePort, location: DatabaseLocation): Promise<void> {
  const database = await openWriter(location)
  migrate(database, { patient: true })
  const writer = new Writer(database, { patient: true })
  const post = (reply: WriterReply) => port.postMessage(enclose(reply))
  const watcher = new CommitWatcher({
    path: realFile(location.path),
    version: () => writer.look(),
    onCommit: () => post({ kind: 'commit' }),
    onRename: () => post({ kind: 'rename' }),
    warn: message => post({ kind: 'warning', message }),
  })
  port.on('message', posted => {
    const request = disclose<WriterRequest>(posted)
    if (request?.kind === 'batch') {
      const { writes, now } = request
      post({ kind: 'settled', answer: packResults(writes, writer.execute(writes, now)) })
    }
    if (request?.kind === 'close') {
      watcher.close()
      database.close()
      port.close()
    }
  })
  post({ kind: 'ready' })
}

if (parentPort === null) throw new Error('The writer of the SQLite store runs in a worker thread.')
await serve(parentPort, workerData as DatabaseLocation)
