/** Stores by their URLs, for a program that is installed where no driver is. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it, test } from 'vitest'
import { blobsFromUrl, redactUrl, storeFromUrl } from 'waybill/from-url'
import { entersByIdentity, identityConfig } from '../../src/from-url/azure-postgres.ts'
import { temporaryFolder } from '../support/app.ts'
import { atLength, onlyLong } from '../support/length.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** Waybill as it is installed somewhere without the packages of vendors. */
function installedAlone(): string {
  const folder = temporaryFolder()
  mkdirSync(join(folder, 'node_modules'))
  symlinkSync(join(ROOT, 'src'), join(folder, 'src'))
  for (const name of readdirSync(join(ROOT, 'node_modules'))) {
    if (name === 'pg' || name === '@azure' || name === 'waybill') continue
    symlinkSync(join(ROOT, 'node_modules', name), join(folder, 'node_modules', name))
  }
  return folder
}

function ls(folder: string, url: string, cwd: string): { status: number | null; stderr: string } {
  return run(folder, ['ls', '--store', url], cwd)
}

function run(folder: string, command: readonly string[], cwd: string): { status: number | null; stderr: string } {
  const main = join(folder, 'src/cli/main.ts')
  const args = ['--preserve-symlinks', '--preserve-symlinks-main', main, ...command]
  return spawnSync(process.execPath, args, { cwd, encoding: 'utf8', env: { ...process.env, NODE_NO_WARNINGS: '1' } })
}

describe('without the package of a store', () => {
  const STORES = [
    ['postgres://user@127.0.0.1:1/orders', 'pg', 'pg'],
    ['cosmos:https://127.0.0.1:1/database/container', '@azure/cosmos', '@azure/cosmos @azure/identity'],
  ] as const

  test.each(STORES.slice(0, atLength(1, undefined)))(
    '%s is refused, and the error names what to install',
    (url, name, install) => {
      const folder = installedAlone()
      const { status, stderr } = ls(folder, url, folder)
      const message = `The package ${name} is needed here, but is not installed: npm install ${install}`
      expect([status, stderr]).toEqual([1, `waybill ls: ${message}\n`])
    },
  )

  onlyLong(() => {
    test.each([
      ['postgres://user@127.0.0.1:1/orders', 'pg', 'pg'],
      ['azure:https://a.blob.core.windows.net/results', '@azure/storage-blob', '@azure/storage-blob @azure/identity'],
    ])('the blobs of %s are refused, and the error names what to install', (url, name, install) => {
      const folder = installedAlone()
      const { status, stderr } = run(folder, ['show', 'x', '--store', 'sqlite:x.db', '--blobs', url], folder)
      const message = `The package ${name} is needed here, but is not installed: npm install ${install}`
      expect([status, stderr]).toEqual([1, `waybill show: ${message}\n`])
    })
  })()

  onlyLong(() => {
    it('uses the package of the project in the working directory', () => {
      const { status, stderr } = ls(installedAlone(), 'postgres://user@127.0.0.1:1/orders', ROOT)
      expect([status, stderr]).toEqual([1, expect.stringContaining('ECONNREFUSED')])
    })
  })()
})

describe("Azure's PostgreSQL", () => {
  const target = new URL('postgres://id-api%2Dx@server.postgres.database.azure.com/orders?sslmode=verify-full')

  it('is accessed by an identity if there is no password', async () => {
    const scopes: string[] = []
    const getToken = async (scope: string) => {
      scopes.push(scope)
      return { token: `token ${scopes.length}` }
    }
    expect(entersByIdentity(target)).toBe(true)
    const { password, ...config } = identityConfig(target, { getToken })
    const [user, database] = ['id-api-x', 'orders']
    expect(config).toEqual({ host: target.hostname, port: 5432, user, database, ssl: true })
    // Each connection asks again: a token does not live as long as a pool.
    expect([await password(), await password()]).toEqual(['token 1', 'token 2'])
    expect(new Set(scopes)).toEqual(new Set(['https://ossrdbms-aad.database.windows.net/.default']))
  })

  test.each([
    'postgres://user:password@server.postgres.database.azure.com/orders',
    'postgres://user@server.postgres.database.azure.com/orders?password=x',
    'postgres://user@postgres.database.azure.com.example.org/orders',
    'postgres://user@localhost/orders',
  ])('%s is accessed as its URL says', url => {
    expect(entersByIdentity(new URL(url))).toBe(false)
  })
})

describe('redactUrl', () => {
  test.each([
    ['sqlite:./orders.db', 'sqlite:./orders.db'],
    ['postgres://user:p@ss:w@host/db?schema=x', 'postgres://user:***@host/db?schema=x'],
    ['postgres://host/db?user=u&password=secret&a=b', 'postgres://host/db?user=u&password=***&a=b'],
    ['cosmos:https://account.documents.azure.com/d/c', 'cosmos:https://account.documents.azure.com/d/c'],
    [
      'azure:https://a.blob.core.windows.net/c?sv=2&sig=s%3D&se=3',
      'azure:https://a.blob.core.windows.net/c?sv=2&sig=***&se=3',
    ],
  ])('of %s is %s', (url, shown) => {
    expect(redactUrl(url)).toBe(shown)
  })
})

describe('storeFromUrl', () => {
  it('creates nothing before the store is opened', async () => {
    const path = join(temporaryFolder(), 'folder/orders.db')
    const store = await storeFromUrl(`sqlite:${path}`)
    await expect(storeFromUrl(`sqlite:${path}`, { existing: true })).rejects.toThrow('There is no SQLite file')
    await store.open()
    await store.close()
    await (await storeFromUrl(`sqlite:${path}`, { existing: true })).close()
  })

  it('closes the client of an unopened store once', async () => {
    const store = await storeFromUrl('postgres://user@127.0.0.1:1/orders?schema=x')
    await store.close()
    await store.close()
  })
})

describe('blobsFromUrl', () => {
  it('creates nothing before the blob store is opened', async () => {
    const path = join(temporaryFolder(), 'folder/results')
    const blobs = await blobsFromUrl(`folder:${path}`)
    await expect(blobsFromUrl(`folder:${path}`, { existing: true })).rejects.toThrow('There is no folder')
    await blobs.open?.()
    await blobsFromUrl(`folder:${path}`, { existing: true })
  })

  it('closes the client of an unopened blob store once', async () => {
    const blobs = await blobsFromUrl('postgres://user@127.0.0.1:1/orders?schema=x')
    await blobs.close?.()
    await blobs.close?.()
  })

  test.each([
    'https://account.blob.core.windows.net/results',
    'https://account.blob.core.windows.net/results?sv=1&sig=s',
    'http://127.0.0.1:10000/devstoreaccount1/results',
  ])('accepts azure:%s', async url => {
    expect(await blobsFromUrl(`azure:${url}`)).toHaveProperty('put')
  })

  test.each([
    ['./data/results', '"./data/results"'],
    ['folder:', '"folder:"'],
    ['azure:results', '"azure:results"'],
    ['azure:https://account.blob.core.windows.net', '"azure:https://account.blob.core.windows.net"'],
    ['azure:https://account.blob.core.windows.net/a/b', '"azure:https://account.blob.core.windows.net/a/b"'],
    ['azure:https://account.blob.core.windows.net/a/b?sig=s3cr3t', '"azure:…"'],
    ['https://account.blob.core.windows.net/a?sig=s3cr3t', '"https:…"'],
    ['postgres://u:s3cr3t@:x/y', '"postgres:…"'],
    ['sqlite:./orders.db', '"sqlite:./orders.db"'],
  ])('refuses %s, and names the possible forms', async (url, shown) => {
    const forms =
      'folder:<path>, postgres://<user>@<host>/<database> or azure:https://<account>.blob.core.windows.net/<container>'
    await expect(blobsFromUrl(url)).rejects.toThrow(
      new TypeError(`${shown} is not the URL of a blob store: write ${forms}.`),
    )
  })
})
