/** What scenarios measure with: servers, load, a folder for files, and how long a round takes. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statfsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { BenchProcess } from './processes/bench-process.ts'
import { Connection, request } from './processes/connection.ts'
import type { Load, LoadResult } from './processes/load.ts'
import type { ServerAnswer, ServerInit, ServerQuestion, Template } from './processes/server.ts'
import type { Told, WaitersInit, WaitersQuestion } from './processes/waiters.ts'

/** A server that was started. */
export class Server {
  readonly #peer: BenchProcess<ServerQuestion, ServerAnswer>
  readonly port: number

  private constructor(peer: BenchProcess<ServerQuestion, ServerAnswer>, port: number) {
    this.#peer = peer
    this.port = port
  }

  static async start(init: ServerInit): Promise<Server> {
    const peer = new BenchProcess<ServerQuestion, ServerAnswer>('./server.ts', init)
    return new Server(peer, await peer.ready())
  }

  /** CPU time of all its threads so far, in microseconds. */
  cpu(): Promise<number> {
    return this.#peer.ask({ ask: 'cpu' })
  }

  /** What its objects take after a garbage collection, in megabytes, buffers included. */
  memory(): Promise<number> {
    return this.#peer.ask({ ask: 'memory' })
  }

  /** Waits until this many operations have ended since it started; gives the milliseconds since then. */
  ended(count: number): Promise<number> {
    return this.#peer.ask({ ask: 'ended', count })
  }

  end(): Promise<void> {
    return this.#peer.end()
  }
}

/** Who sends how much. */
export type LoadInit = Omit<Load, 'port' | 'connections' | 'mode'> & Partial<Pick<Load, 'connections' | 'mode'>>

/** What came of a load, and what it cost the server: microseconds of CPU for each request. */
export interface Measured extends LoadResult {
  readonly cpu: number
}

/** How many operations have ended, and how many wait for a time. */
export interface Held {
  readonly finished: number
  readonly delayed: number
}

export class Bench {
  /** How long one measurement takes. */
  readonly seconds: number
  readonly quick: boolean
  /** How many operations a store with very many of them holds. */
  readonly held: Held
  readonly #folder: string
  readonly #ends: (() => Promise<void>)[] = []
  readonly #began = performance.now()
  readonly #remove = () => rmSync(this.#folder, { recursive: true, force: true })
  /** A store keeps no process alive that has nothing else to do. */
  readonly #alive = setInterval(() => {}, 60_000)
  #load: BenchProcess<{ loads: readonly Load[] }, readonly LoadResult[]> | undefined

  constructor({ quick, held }: { quick: boolean; held: Held }) {
    this.quick = quick
    this.held = held
    this.seconds = quick ? 0.5 : 2
    const data = fileURLToPath(new URL('data/', import.meta.url))
    mkdirSync(data, { recursive: true })
    this.#folder = mkdtempSync(data)
    process.once('exit', this.#remove)
  }

  /** A path for a new file, deleted in the end. */
  file(name: string): string {
    return `${this.#folder}/${name}`
  }

  /** A new folder, deleted in the end. Servers that run as another user, as PostgreSQL does for root, can use it. */
  folder(name: string): string {
    const path = this.file(name)
    mkdirSync(path)
    for (const it of [this.#folder, path]) chmodSync(it, 0o777)
    return path
  }

  /** Starts a server, which is ended with the scenario. */
  async serve(init: ServerInit): Promise<Server> {
    const server = await Server.start(init)
    this.onEnd(() => server.end())
    return server
  }

  /** Starts a server whose only route answers as the other one answers a request. */
  async serveBare(method: Load['method'], template: Template): Promise<Server> {
    return await this.serve({ kind: 'bare', method, template })
  }

  /** Loads a server. Default: 64 connections, each with one request at a time. */
  async load(server: Server, init: LoadInit): Promise<Measured> {
    const [measured] = await this.loads(server, [init])
    if (measured === undefined) throw new Error('The load came to nothing.')
    return measured
  }

  /** Loads of several kinds at once. */
  async loads(server: Server, inits: readonly LoadInit[]): Promise<readonly Measured[]> {
    const peer = await this.#loader()
    const before = await server.cpu()
    const results = await peer.ask({
      loads: inits.map(init => ({ port: server.port, connections: 64, mode: 'each', ...init })),
    })
    const used = (await server.cpu()) - before
    const requests = results.reduce((sum, { count }) => sum + count, 0)
    return results.map(result => ({ ...result, cpu: used / requests }))
  }

  /** Starts a process that has this many connections to a server, for long polls. */
  async waiters(server: Server, count: number): Promise<BenchProcess<WaitersQuestion, Told>> {
    const peer = new BenchProcess<WaitersQuestion, Told>('./waiters.ts', {
      port: server.port,
      count,
    } satisfies WaitersInit)
    this.onEnd(() => peer.end())
    await peer.ready()
    return peer
  }

  /** Does something when the scenario ends. What was begun last is ended first, since it may need what was begun before. */
  onEnd(end: () => Promise<void>): void {
    this.#ends.push(end)
  }

  /** Ends the servers and the load of a scenario, and deletes its files. */
  async end(): Promise<void> {
    for (const end of this.#ends.splice(0).reverse()) await end()
    clearInterval(this.#alive)
    this.#remove()
    process.off('exit', this.#remove)
  }

  /** Prints what is being done. It goes to the error output, so that the other one has only the results. */
  say(text: string): void {
    const seconds = Math.round((performance.now() - this.#began) / 1000)
    console.error(`${String(seconds).padStart(6)} s  ${text}`)
  }

  /** How much space the disk of its files has left. */
  freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.#folder)
    return bavail * bsize
  }

  async #loader(): Promise<BenchProcess<{ loads: readonly Load[] }, readonly LoadResult[]>> {
    if (this.#load !== undefined) return this.#load
    const peer = new BenchProcess<{ loads: readonly Load[] }, readonly LoadResult[]>('./load.ts')
    this.#load = peer
    this.onEnd(() => peer.end())
    await peer.ready()
    return peer
  }
}

/** A server's answer to one request, for a bare route to repeat. */
export async function templateOf(
  server: Server,
  method: Load['method'],
  path: string,
  body?: string,
): Promise<Template> {
  const connection = await Connection.open(server.port)
  const answer = await connection.send(request(method, path, body))
  connection.close()
  const lines = answer.head.split('\r\n').slice(1)
  const headers = lines.map(line => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)] as const)
  const own = headers.filter(([name]) => !/^(date|connection|keep-alive|content-length)$/i.test(name))
  return { status: answer.status, headers: Object.fromEntries(own), body: answer.body }
}
