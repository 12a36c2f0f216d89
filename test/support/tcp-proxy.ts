/** A proxy between a client and a server that can go silent, as a network does: nothing is closed, and nothing arrives any more. */
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

export class TcpProxy {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #frozen = new WeakSet<Socket>()
  #target: number

  private constructor(port: number) {
    this.#target = port
    this.#server = createServer({ noDelay: true }, client => {
      const upstream = connect({ port: this.#target, host: '127.0.0.1', noDelay: true })
      this.#relay(client, upstream)
      this.#relay(upstream, client)
    })
  }

  /** @param port of the server */
  static async start(port: number): Promise<TcpProxy> {
    const proxy = new TcpProxy(port)
    await new Promise<void>(resolve => proxy.#server.listen(0, '127.0.0.1', resolve))
    return proxy
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** Every connection there is goes silent forever, and neither end is told. New ones work. */
  freeze(): void {
    for (const socket of this.#sockets) this.#frozen.add(socket)
  }

  /** From now on new connections lead to the server on this port; the others stay where they are. */
  route(port: number): void {
    this.#target = port
  }

  /** Closes every connection there is. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise(resolve => this.#server.close(resolve))
  }

  #relay(from: Socket, to: Socket): void {
    this.#sockets.add(from)
    from.on('data', chunk => {
      if (!this.#frozen.has(from)) to.write(chunk)
    })
    from.on('error', () => {})
    from.on('close', () => {
      this.#sockets.delete(from)
      if (!this.#frozen.has(from)) to.destroy()
    })
  }
}
