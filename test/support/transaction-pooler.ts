/**
 * A pooler in transaction mode, as PgBouncer is one: each transaction of a client goes to the server
 * connection that has been idle longest, and notifications that come to an idle one are dropped. It
 * prepares nothing on behalf of its clients, as PgBouncer before 1.21.
 */
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { Client } from 'pg'

/** Asks for encryption, and gets the letter N for no. */
const SSL_REQUEST = 80_877_103
const READY = 'Z'.charCodeAt(0)
const IDLE = 'I'.charCodeAt(0)
const TERMINATE = 'X'.charCodeAt(0)

/** The server's half of a transaction under way. */
interface Backend {
  readonly socket: Socket
  /** Who is given what the server says. */
  client: Socket | undefined
}

export class TransactionPooler {
  readonly #server: Server
  readonly #clients = new Set<Socket>()
  readonly #backends: Backend[] = []
  readonly #idle: Backend[] = []
  readonly #waiting: (() => void)[] = []

  private constructor() {
    this.#server = createServer({ noDelay: true }, socket => this.#serve(socket))
  }

  /** @param url of the server */
  static async start(url: string, connections: number): Promise<TransactionPooler> {
    const pooler = new TransactionPooler()
    for (let count = 0; count < connections; count++) await pooler.#connect(url)
    await new Promise<void>(resolve => pooler.#server.listen(0, '127.0.0.1', resolve))
    return pooler
  }

  get url(): string {
    return `postgres://postgres@127.0.0.1:${(this.#server.address() as AddressInfo).port}/postgres`
  }

  async stop(): Promise<void> {
    for (const socket of [...this.#clients, ...this.#backends.map(it => it.socket)]) socket.destroy()
    await new Promise(resolve => this.#server.close(resolve))
  }

  /** The driver does the greeting; then its socket is ours. */
  async #connect(url: string): Promise<void> {
    const client = new Client(url)
    client.on('error', () => {})
    await client.connect()
    const socket = (client as unknown as { connection: { stream: Socket } }).connection.stream
    socket.setNoDelay(true)
    socket.removeAllListeners('data')
    const backend: Backend = { socket, client: undefined }
    const read = messages((type, message) => {
      backend.client?.write(message)
      if (type === READY && message[5] === IDLE) this.#release(backend)
    })
    socket.on('data', read)
    this.#backends.push(backend)
    this.#idle.push(backend)
  }

  #release(backend: Backend): void {
    backend.client = undefined
    this.#idle.push(backend)
    this.#waiting.shift()?.()
  }

  #serve(socket: Socket): void {
    this.#clients.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => this.#clients.delete(socket))
    socket.on('data', chunk => {
      if (chunk.length >= 8 && chunk.readInt32BE(4) === SSL_REQUEST) socket.write('N')
      else {
        socket.removeAllListeners('data')
        greet(socket)
        this.#relay(socket)
      }
    })
  }

  #relay(socket: Socket): void {
    // In the order in which they came, though a message may have to wait for a server.
    let turn = Promise.resolve()
    socket.on('data', chunk => {
      if (chunk[0] === TERMINATE) socket.end()
      else turn = turn.then(async () => void (await this.#backendOf(socket)).socket.write(chunk))
    })
  }

  async #backendOf(client: Socket): Promise<Backend> {
    const linked = this.#backends.find(backend => backend.client === client)
    if (linked !== undefined) return linked
    while (this.#idle.length === 0) await new Promise<void>(resolve => this.#waiting.push(resolve))
    const backend = this.#idle.shift()
    if (backend === undefined) return await this.#backendOf(client)
    backend.client = client
    return backend
  }
}

/** Everyone who comes is let in, and informed of a server process that there is none of. */
function greet(socket: Socket): void {
  const ok = Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 0])
  const key = Buffer.from([0x4b, 0, 0, 0, 12, 0x7f, 0, 0, 1, 0, 0, 0, 1])
  const ready = Buffer.from([READY, 0, 0, 0, 5, IDLE])
  socket.write(Buffer.concat([ok, key, ready]))
}

/** Cuts a stream into the server's messages: a letter, a length, a body. */
function messages(each: (type: number, message: Buffer) => void): (chunk: Buffer) => void {
  let rest = Buffer.alloc(0)
  return chunk => {
    rest = Buffer.concat([rest, chunk])
    while (rest.length >= 5) {
      const length = 1 + rest.readInt32BE(1)
      if (rest.length < length) return
      each(rest[0] ?? 0, rest.subarray(0, length))
      rest = rest.subarray(length)
    }
  }
}
