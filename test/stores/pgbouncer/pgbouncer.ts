/** A real PgBouncer in front of a server. */
import { type ChildProcess, spawn } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../../support/free-port.ts'
import type { PostgresServer } from '../../support/postgres.ts'

export class PgBouncer {
  readonly #process: ChildProcess
  readonly #folder: string
  readonly url: string

  private constructor(process: ChildProcess, folder: string, url: string) {
    this.#process = process
    this.#folder = folder
    this.url = url
  }

  static async start(server: PostgresServer, mode: 'session' | 'transaction'): Promise<PgBouncer> {
    const folder = mkdtempSync(join(tmpdir(), 'waybill-pgbouncer-'))
    chmodSync(folder, 0o755)
    const port = await freePort()
    const config = join(folder, 'pgbouncer.ini')
    const database = `host=127.0.0.1 port=${server.port} user=postgres password=postgres`
    writeFileSync(
      config,
      `[databases]
postgres = ${database}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = ${mode}
default_pool_size = 30
max_client_conn = 200
`,
    )
    // It refuses to run as root.
    const user = process.getuid?.() === 0 ? ['-u', 'postgres'] : []
    const child = spawn('pgbouncer', [...user, config], { stdio: ['ignore', 'ignore', 'pipe'] })
    await new Promise<void>((resolve, reject) => {
      let log = ''
      child.stderr?.on('data', chunk => {
        log += chunk
        if (log.includes('process up')) resolve()
      })
      child.once('error', reject)
      child.once('exit', code => reject(new Error(`PgBouncer ended with ${code}: ${log}`)))
    })
    return new PgBouncer(child, folder, `postgres://postgres:postgres@127.0.0.1:${port}/postgres`)
  }

  async stop(): Promise<void> {
    const ended = new Promise(resolve => this.#process.once('exit', resolve))
    this.#process.kill('SIGTERM')
    await ended
    rmSync(this.#folder, { recursive: true, force: true })
  }
}
