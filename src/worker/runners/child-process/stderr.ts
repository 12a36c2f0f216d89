/** Passes the standard error of children on to that of this process, no faster than it is read there. */
import type { Readable } from 'node:stream'

/** Children that wait until standard error accepts more. Their output waits in their own memory. */
const waiting = new Set<Readable>()

/** @param onData called with each chunk that is passed on */
export function relayStderr(source: Readable, onData: (data: Buffer) => void): void {
  source.on('data', (data: Buffer) => {
    onData(data)
    if (process.stderr.write(data)) return
    source.pause()
    if (waiting.size === 0) process.stderr.once('drain', resumeAll)
    waiting.add(source)
  })
  source.once('close', () => waiting.delete(source))
}

function resumeAll(): void {
  const sources = [...waiting]
  waiting.clear()
  for (const source of sources) source.resume()
}
