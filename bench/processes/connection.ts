/** HTTP/1.1 over one keep-alive connection, for answers with a `Content-Length`. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

/** The head of an answer. */
export class Answer {
  /** The status line and the header lines. */
  readonly head: string
  readonly status: number

  constructor(head: string) {
    this.head = head
    this.status = Number(head.slice(9, 12))
  }

  /** A header's value, or the empty string. */
  header(name: string): string {
    return new RegExp(`^${name}: (.*)$`, 'im').exec(this.head)?.[1]?.trim() ?? ''
  }
}

/** The text of a request. */
export function request(method: string, path: string, body?: string, headers = ''): string {
  const length =
    body === undefined ? '' : `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n`
  return `${method} ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n${headers}${length}\r\n${body ?? ''}`
}

export class Connection {
  readonly #socket: Socket
  #text = ''
  #waiting: PromiseWithResolvers<Answer & { body: string }> | undefined

  private constructor(socket: Socket) {
    this.#socket = socket
    // One character for each byte, so that lengths can be compared.
    socket.setEncoding('latin1')
    socket.on('data', (text: string) => this.#read(text))
    socket.on('error', error => this.#waiting?.reject(error))
    socket.on('close', () => this.#waiting?.reject(new Error('The server has closed the connection.')))
  }

  static async open(port: number): Promise<Connection> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    await once(socket, 'connect')
    return new Connection(socket)
  }

  /** Sends a request and waits for its answer. */
  send(text: string): Promise<Answer & { body: string }> {
    this.#waiting = Promise.withResolvers()
    this.#socket.write(text)
    return this.#waiting.promise
  }

  close(): void {
    this.#waiting = undefined
    this.#socket.destroy()
  }

  #read(text: string): void {
    this.#text += text
    const end = this.#text.indexOf('\r\n\r\n')
    if (end < 0) return
    const length = contentLength(this.#text.slice(0, end))
    if (this.#text.length < end + 4 + length) return
    const answer = Object.assign(new Answer(this.#text.slice(0, end)), { body: this.#text.slice(end + 4) })
    this.#text = ''
    this.#waiting?.resolve(answer)
  }
}

function contentLength(head: string): number {
  const length = /\r\ncontent-length: (\d+)/i.exec(head)?.[1]
  if (length === undefined) throw new Error(`An answer without Content-Length: ${head}`)
  return Number(length)
}
