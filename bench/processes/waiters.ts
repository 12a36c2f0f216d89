/** Long polls, in a process of their own: as many connections as are asked for, each of which waits for an operation. */
import { percentile } from '../statistics.ts'
import { argument, serve } from './bench-process.ts'
import { Connection, request } from './connection.ts'

/** How many connections there are, and to which server. */
export interface WaitersInit {
  readonly port: number
  readonly count: number
}

/** What is asked of them: to wait for operations at their status URLs, taken in turn, or when each was informed of its end. */
export type WaitersQuestion = { readonly ask: 'park'; readonly paths: readonly string[] } | { readonly ask: 'told' }

/** Milliseconds from the operation's end, as its document has it, to an answer that was read. Zero when they are parked. */
export interface Told {
  readonly half: number
  readonly last: number
}

const { port, count } = argument<WaitersInit>()
const connections = await Promise.all(Array.from({ length: count }, () => Connection.open(port)))
let parked: Promise<readonly { at: number; body: string }[]>

process.on('disconnect', () => process.exit(0))
serve<WaitersQuestion, Told>({ half: 0, last: 0 }, async question => {
  if (question.ask === 'told') return told(await parked)
  const polls = question.paths.map(path => request('GET', path, undefined, 'Prefer: wait=60\r\n'))
  parked = Promise.all(connections.map((connection, at) => wait(connection, polls[at % polls.length] ?? '')))
  return { half: 0, last: 0 }
})

async function wait(connection: Connection, poll: string): Promise<{ at: number; body: string }> {
  const { body } = await connection.send(poll)
  return { at: Date.now(), body }
}

function told(answers: readonly { at: number; body: string }[]): Told {
  const endOf = (body: string) => Date.parse((JSON.parse(body) as { finishedAt: string }).finishedAt)
  const after = answers.map(({ at, body }) => at - endOf(body)).sort((a, b) => a - b)
  return { half: percentile(after, 0.5), last: percentile(after, 1) }
}
