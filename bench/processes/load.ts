/** The load, in a process of its own: keep-alive connections that do as little as can be done with a response. */

import { percentile } from '../statistics.ts'
import { serve } from './bench-process.ts'
import { Connection, request } from './connection.ts'

/** Requests of one kind. */
export interface Load {
  readonly port: number
  readonly connections: number
  /** `each`: a request after the answer of the one before. `paced`: this many a second, whatever the answers do. `round trip`: an operation from its POST to its result. */
  readonly mode: 'each' | 'paced' | 'round trip'
  readonly perSecond?: number
  /** How long, or how many. */
  readonly seconds?: number
  readonly count?: number
  readonly method: 'GET' | 'POST' | 'DELETE'
  /** Taken in turn. */
  readonly paths: readonly string[]
  readonly body?: string
  /** The status that each answer must have. */
  readonly expect: number
  /** How many `Location`s to collect. Default none. */
  readonly collect?: number
}

/** What came of it. Latencies in milliseconds. */
export interface LoadResult {
  readonly perSecond: number
  readonly count: number
  readonly p50: number
  readonly p99: number
  readonly locations: readonly string[]
  /** Of round trips whose results have the times of their handler: from the 202 to its begin, and from its end to the client. */
  readonly wakeUp: number
  readonly endToClient: number
}

/** The times that a result may have, in milliseconds since the epoch. */
interface Times {
  readonly startedAt?: number
  readonly endedAt?: number
}

class Run {
  readonly #load: Load
  readonly #connections: readonly Connection[]
  readonly #requests: readonly string[]
  readonly #latencies: number[] = []
  readonly #locations: string[] = []
  readonly #wakeUps: number[] = []
  readonly #endsToClient: number[] = []
  #sent = 0

  constructor(load: Load, connections: readonly Connection[]) {
    this.#load = load
    this.#connections = connections
    this.#requests = load.paths.map(path => request(load.method, path, load.body))
  }

  async run(): Promise<LoadResult> {
    const began = performance.now()
    if (this.#load.mode === 'paced') await this.#paced(began)
    else await Promise.all(this.#connections.map(connection => this.#oneAfterTheOther(connection, began)))
    return this.#result(performance.now() - began)
  }

  async #oneAfterTheOther(connection: Connection, began: number): Promise<void> {
    const one = this.#load.mode === 'each' ? this.#exchange : this.#roundTrip
    while (this.#goesOn(began)) {
      const text = this.#next()
      const sent = performance.now()
      await one.call(this, connection, text)
      this.#latencies.push(performance.now() - sent)
    }
  }

  /** Latencies count from the moment a request was due, so that a server that stalls cannot hide it. */
  async #paced(began: number): Promise<void> {
    const { perSecond = 100, seconds = 1 } = this.#load
    const free = [...this.#connections]
    const under: Promise<void>[] = []
    for (let at = 0; at < perSecond * seconds; at++) {
      const due = began + (at * 1000) / perSecond
      while (performance.now() < due) await new Promise(resolve => setTimeout(resolve, 1))
      const connection = free.shift()
      if (connection === undefined) throw new Error('Every connection waits for an answer: the rate is too high.')
      const exchange = this.#exchange(connection, this.#next()).then(() => {
        this.#latencies.push(performance.now() - due)
        free.push(connection)
      })
      under.push(exchange)
    }
    await Promise.all(under)
  }

  async #exchange(connection: Connection, text: string): Promise<void> {
    const answer = await connection.send(text)
    if (answer.status !== this.#load.expect) throw new Error(`Got ${answer.status}: ${answer.head}`)
    if (this.#locations.length < (this.#load.collect ?? 0)) this.#locations.push(answer.header('location'))
  }

  async #roundTrip(connection: Connection, text: string): Promise<void> {
    const accepted = await connection.send(text)
    const acceptedAt = now()
    if (accepted.status !== 202) throw new Error(`Got ${accepted.status}: ${accepted.head}`)
    const poll = request('GET', accepted.header('location'), undefined, 'Prefer: wait=10\r\n')
    let status = await connection.send(poll)
    while (status.status === 200) {
      // Only a server that does not know `Prefer: wait` answers before the end.
      await new Promise(resolve => setTimeout(resolve, 1))
      status = await connection.send(poll)
    }
    const result = await connection.send(request('GET', status.header('location')))
    const receivedAt = now()
    if (result.status !== 200) throw new Error(`Got ${result.status}: ${result.head}`)
    const { startedAt, endedAt } = timesOf(result.body)
    if (startedAt === undefined || endedAt === undefined) return
    // A handler may begin before the client has read the 202.
    this.#wakeUps.push(Math.max(startedAt - acceptedAt, 0))
    this.#endsToClient.push(receivedAt - endedAt)
  }

  #goesOn(began: number): boolean {
    const { count, seconds = 1 } = this.#load
    return count === undefined ? performance.now() - began < seconds * 1000 : this.#sent < count
  }

  #next(): string {
    return this.#requests[this.#sent++ % this.#requests.length] ?? ''
  }

  #result(ms: number): LoadResult {
    const sorted = this.#latencies.sort((a, b) => a - b)
    const medianOf = (values: number[]) =>
      percentile(
        values.sort((a, b) => a - b),
        0.5,
      )
    return {
      count: sorted.length,
      perSecond: (sorted.length / ms) * 1000,
      p50: percentile(sorted, 0.5),
      p99: percentile(sorted, 0.99),
      locations: this.#locations,
      wakeUp: medianOf(this.#wakeUps),
      endToClient: medianOf(this.#endsToClient),
    }
  }
}

/** Milliseconds since the epoch, with the fractions that `Date.now` leaves out. */
function now(): number {
  return performance.timeOrigin + performance.now()
}

/** Of the article's order they stand in the result, or in its member `order`. */
function timesOf(body: string): Times {
  const result = JSON.parse(body) as Times & { readonly order?: Times }
  return result.order ?? result
}

async function runOne(load: Load): Promise<LoadResult> {
  const opening = Array.from({ length: load.connections }, () => Connection.open(load.port))
  const connections = await Promise.all(opening)
  try {
    return await new Run(load, connections).run()
  } finally {
    for (const connection of connections) connection.close()
  }
}

process.on('disconnect', () => process.exit(0))
serve<{ loads: readonly Load[] }, readonly LoadResult[]>([], async ({ loads }) => await Promise.all(loads.map(runOne)))
