import { createServer } from 'node:net'

/** Below these are the ports that systems give out by themselves: 32768 on Linux, 49152 elsewhere. */
const [FROM, TO] = [20_000, 32_000]

/**
 * A port for a server that must be told one, or that goes away and comes back. No other program is given it meanwhile,
 * as it would be one that the system has chosen.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = FROM + Math.floor(Math.random() * (TO - FROM))
    if (await isFree(port)) return port
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const server = createServer()
      .once('error', () => resolve(false))
      .listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}
