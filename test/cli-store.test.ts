/** Stores by their URLs, for a program that is installed where no driver is. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it, test } from 'vitest'
import { shownUrl, storeFromUrl } from 'waybill/store-url'
import { temporaryFolder } from './support/app.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

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
  const main = join(folder, 'src/cli/main.ts')
  const args = ['--preserve-symlinks', '--preserve-symlinks-main', main, 'ls', '--store', url]
  return spawnSync(process.execPath, args, { cwd, encoding: 'utf8', env: { ...process.env, NODE_NO_WARNINGS: '1' } })
}

describe('without the package of a store', () => {
  test.each([
    ['postgres://user@127.0.0.1:1/orders', 'pg', 'pg'],
    ['cosmos:https://127.0.0.1:1/database/container', '@azure/cosmos', '@azure/cosmos @azure/identity'],
  ])('%s is refused, and it is said what to install', (url, name, install) => {
    const folder = installedAlone()
    const { status, stderr } = ls(folder, url, folder)
    const message = `The package ${name} is not installed, and this store needs it: npm install ${install}`
    expect([status, stderr]).toEqual([1, `waybill ls: ${message}\n`])
  })

  it('takes that of the project in the working directory', () => {
    const { status, stderr } = ls(installedAlone(), 'postgres://user@127.0.0.1:1/orders', ROOT)
    expect([status, stderr]).toEqual([1, expect.stringContaining('ECONNREFUSED')])
  })
})

describe('shownUrl', () => {
  test.each([
    ['sqlite:./orders.db', 'sqlite:./orders.db'],
    ['postgres://user:p@ss:w@host/db?schema=x', 'postgres://user:***@host/db?schema=x'],
    ['postgres://host/db?user=u&password=secret&a=b', 'postgres://host/db?user=u&password=***&a=b'],
    ['cosmos:https://account.documents.azure.com/d/c', 'cosmos:https://account.documents.azure.com/d/c'],
  ])('of %s is %s', (url, shown) => {
    expect(shownUrl(url)).toBe(shown)
  })
})

describe('storeFromUrl', () => {
  it('makes nothing before the store is opened', async () => {
    const path = join(temporaryFolder(), 'folder/orders.db')
    const store = await storeFromUrl(`sqlite:${path}`)
    await expect(storeFromUrl(`sqlite:${path}`, { existing: true })).rejects.toThrow('There is no SQLite file')
    await store.open()
    await store.close()
    await (await storeFromUrl(`sqlite:${path}`, { existing: true })).close()
  })

  it('frees the client of a store that was never opened, once', async () => {
    const store = await storeFromUrl('postgres://user@127.0.0.1:1/orders?schema=x')
    await store.close()
    await store.close()
  })
})
