/** Processes of the conformance run: the server, and what kills it between any two calls. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const SERVER = fileURLToPath(new URL('./server.ts', import.meta.url))

/** A server that takes requests. */
export interface ServerProcess {
  /** What it has printed first: its URL. */
  readonly said: string
  kill(): Promise<void>
}

/** Starts `server.ts`, and resolves when it is ready. */
export async function startServer(...args: readonly string[]): Promise<ServerProcess> {
  const child = spawn(process.execPath, ['--conditions=waybill-source', SERVER, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = once(child, 'exit')
  return {
    said: await firstLine(child, exited),
    kill: async () => {
      child.kill('SIGKILL')
      await exited
    },
  }
}

async function firstLine({ stdout }: ChildProcess, exited: Promise<unknown>): Promise<string> {
  const gone = exited.then(() => {
    throw new Error('The server ended before it was ready.')
  })
  const [line] = (await Promise.race([once(stdout as NodeJS.EventEmitter, 'data'), gone])) as [Buffer]
  return line.toString('utf8').trim()
}

/** How long a call waits for the next server, in milliseconds: the suite gives some calls up after 5 s. */
const READY_MS = 3000

/** A front for servers that are killed one after the other. */
export interface KillingFront {
  readonly url: string
  /** How many servers have been killed. */
  kills(): number
  /** How many calls had no kill before them, because the next server was not ready. */
  unkilled(): number
  close(): Promise<void>
}

/**
 * Takes requests, and gives each to a server of its own: the one before it is killed first. Servers share a store and a
 * folder for results, and the next one is started ahead, so that a request does not wait for a start.
 *
 * @param place the file of the store, and the folder
 */
export async function killingFront(...place: readonly string[]): Promise<KillingFront> {
  let kills = 0
  let unkilled = 0
  let next = startServer('api', ...place)
  let current = await next
  let open = 0
  next = startServer('api', ...place)
  const swap = async () => {
    const ready = await Promise.race([next, sleep(READY_MS, undefined, { ref: false })])
    if (ready === undefined) {
      unkilled++
      return
    }
    await current.kill()
    kills++
    current = ready
    next = startServer('api', ...place)
  }
  let swapping = Promise.resolve()
  const front = createServer((message, response) => {
    // Between two calls: one that is still being answered is not cut off. The stream of a session is not a call: its
    // client opens it again.
    const isCall = message.method !== 'GET'
    if (isCall && open === 0) swapping = swapping.then(swap)
    if (isCall) {
      open++
      response.once('close', () => open--)
    }
    swapping.then(() => forward(message, response, current.said)).catch(() => response.destroy())
  })
  // A connection that is closed for being idle, at the moment of a call, would look like a fault of the server.
  front.keepAliveTimeout = 0
  front.listen(0, '127.0.0.1')
  await once(front, 'listening')
  return {
    url: `http://127.0.0.1:${(front.address() as AddressInfo).port}`,
    kills: () => kills,
    unkilled: () => unkilled,
    close: async () => {
      front.closeAllConnections()
      front.close()
      // One that is on its way would start a server after the last ones were killed.
      await swapping
      await Promise.all([current.kill(), next.then(server => server.kill())])
    },
  }
}

async function forward(message: IncomingMessage, response: ServerResponse, url: string): Promise<void> {
  const { method, headers } = message
  const sent = request(new URL(message.url ?? '/', url), { method, headers, agent: false })
  message.pipe(sent)
  const [answer] = (await once(sent, 'response')) as [IncomingMessage]
  response.writeHead(answer.statusCode ?? 502, answer.headers)
  await pipeline(answer, response)
}
