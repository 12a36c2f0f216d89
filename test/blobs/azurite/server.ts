/** A real Azurite for a test file: started before the first test and gone after the last. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BlobServiceClient, type ContainerClient } from '@azure/storage-blob'
import { afterAll, beforeAll } from 'vitest'
import { freePort } from '../../support/free-port.ts'

/** The account that every Azurite has; its key is not a secret. */
const ACCOUNT = 'devstoreaccount1'
const KEY = 'Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=='

export interface Azurite {
  /** A container that no test has used yet, made. */
  nextContainer(): Promise<ContainerClient>
  /** The same, not made. */
  missingContainer(): ContainerClient
  /** What a program's environment needs to enter by. */
  readonly env: { readonly AZURE_STORAGE_KEY: string }
}

export function azurite(): Azurite {
  const folder = mkdtempSync(join(tmpdir(), 'waybill-azurite-'))
  let server: ChildProcess | undefined
  let service: BlobServiceClient | undefined
  let count = 0
  beforeAll(async () => {
    const port = await freePort()
    const endpoint = `http://127.0.0.1:${port}/${ACCOUNT}`
    server = spawnServer(port, folder)
    await listening(server)
    service = BlobServiceClient.fromConnectionString(
      `DefaultEndpointsProtocol=http;AccountName=${ACCOUNT};AccountKey=${KEY};BlobEndpoint=${endpoint};`,
    )
  })
  afterAll(async () => {
    if (server?.exitCode === null) {
      const gone = once(server, 'exit')
      server.kill()
      await gone
    }
    rmSync(folder, { recursive: true, force: true })
  })
  const container = () => {
    if (service === undefined) throw new Error('Azurite has not been started yet.')
    return service.getContainerClient(`results-${++count}`)
  }
  return {
    nextContainer: async () => {
      const made = container()
      await made.create()
      return made
    },
    missingContainer: container,
    env: { AZURE_STORAGE_KEY: KEY },
  }
}

function spawnServer(port: number, folder: string): ChildProcess {
  const script = new URL('node_modules/azurite/dist/src/blob/main.js', import.meta.url).pathname
  const options = ['--blobHost', '127.0.0.1', '--blobPort', `${port}`, '--location', folder]
  // The emulator lags behind the versions of the service that the SDK names.
  const all = [...options, '--skipApiVersionCheck', '--disableTelemetry']
  return spawn(process.execPath, [script, ...all], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env.PATH },
  })
}

function listening(server: ChildProcess): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    let said = ''
    const hear = (data: Buffer) => {
      said += data
      if (said.includes('successfully listens')) resolve()
    }
    server.stdout?.on('data', hear)
    server.stderr?.on('data', hear)
    server.once('exit', code => reject(new Error(`Azurite ended with ${code}: ${said}`)))
  })
}
