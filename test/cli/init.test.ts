import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { describe, expect, onTestFinished } from 'vitest'
import { fetchAndWait } from 'waybill/client'
import { root } from '../../scripts/tools.ts'
import { waybill } from '../support/cli.ts'
import { atLength, onlyLong } from '../support/length.ts'
import { testDatabase } from '../support/postgres.ts'
import { test } from '../support/waybill.ts'

const run = promisify(execFile)
const database = testDatabase(18)

/** A folder below the repository, so that packages resolve as they do where they are installed. */
function emptyFolder(): string {
  mkdirSync(`${root}data`, { recursive: true })
  const folder = mkdtempSync(`${root}data/init-`)
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

async function create(...options: string[]): Promise<string> {
  const folder = join(emptyFolder(), 'my-api')
  const { code, out } = await waybill(['init', folder, '--no-install', ...options])
  expect(code).toBe(0)
  expect(out).toContain('npm install\n')
  mkdirSync(join(folder, 'node_modules'))
  symlinkSync(root, join(folder, 'node_modules/waybill'), 'junction')
  return folder
}

/** Starts the server of a project, and gives its URL once it listens. */
async function start(cwd: string, env: Record<string, string>) {
  const child = spawn(process.execPath, ['src/server.ts'], {
    cwd,
    env: { ...process.env, PORT: '0', NODE_NO_WARNINGS: '1', ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = once(child, 'exit')
  onTestFinished(async () => {
    child.kill('SIGKILL')
    await ended
  })
  for await (const line of createInterface(child.stdout)) {
    const [, url] = /POST (\S+)\/greetings/.exec(line) ?? []
    if (url !== undefined) return { child, ended, url }
  }
  throw new Error('The server ended.')
}

/** Each server once, and each store. */
const EACH_ONCE = [
  ['fastify', 'postgres'],
  ['express', 'sqlite'],
  ['hono', 'sqlite'],
]
const ALL = ['fastify', 'express', 'hono'].flatMap(server => ['sqlite', 'postgres'].map(store => [server, store]))

const post = { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"name":"Ada"}' }

describe('waybill init', () => {
  test.for(atLength(EACH_ONCE.slice(0, 1), ALL))(
    'creates a project on %s and %s that serves, and ends at a signal',
    async ([server = '', store = '']) => {
      const folder = await create('--server', server, '--store', store)
      const env: Record<string, string> = store === 'postgres' ? { WAYBILL_STORE: `${database.url}?schema=init` } : {}
      const { child, ended, url } = await start(folder, env)
      const greeting = await fetchAndWait<{ result: unknown }>(`${url}/greetings`, post)
      expect(greeting.result).toEqual({ text: 'Hello, Ada!' })
      expect((await fetch(`${url}/docs`)).status).toBe(200)
      expect((await fetch(`${url}/admin/session`)).status).toBe(200)
      expect((await fetch(`${url}/admin/session`, { headers: { 'x-forwarded-for': '192.0.2.1' } })).status).toBe(403)
      child.kill('SIGTERM')
      expect(await ended).toEqual([0, null])
    },
  )

  onlyLong(() => {
    test('creates a project whose tests pass', async () => {
      const folder = await create()
      const { stdout } = await run(process.execPath, ['--test'], { cwd: folder })
      expect(stdout).toMatch(/pass 3\n.*fail 0\n/s)
    })
  })()

  test('uses the versions of packages that this repository is tested with', async () => {
    const lock = JSON.parse(readFileSync(`${root}package-lock.json`, 'utf8')).packages
    for (const choice of EACH_ONCE) {
      const folder = await create('--server', `${choice[0]}`, '--store', `${choice[1]}`)
      const { dependencies, devDependencies } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
      const { waybill: own, ...others } = { ...dependencies, ...devDependencies }
      expect(own).toBe(`^${JSON.parse(readFileSync(`${root}package.json`, 'utf8')).version}`)
      for (const [name, range] of Object.entries<string>(others)) {
        expect(`${name} ^${Number.parseInt(lock[`node_modules/${name}`].version, 10)}.0.0`).toBe(`${name} ${range}`)
      }
    }
  })

  test('says which Node the project needs, if the shell has an older one', async () => {
    const outputs = ['20.20.2', '22.18.0'].map(async version => {
      const agent = `npm/11.19.1 node/v${version} linux x64 workspaces/false`
      return (await waybill(['init', emptyFolder(), '--no-install'], { npm_config_user_agent: agent })).out
    })
    expect(await Promise.all(outputs)).toEqual([
      expect.stringContaining('\n  install Node.js 22.18 or newer, which runs .ts files; this is 20.20.2\n'),
      expect.not.stringContaining('install Node.js'),
    ])
  })

  test('overwrites no file, and keeps settings out of git and images', async () => {
    const folder = await create('--store', 'postgres')
    writeFileSync(join(folder, 'README.md'), 'mine')
    const { code, err } = await waybill(['init', folder, '--no-install'])
    expect([code, err]).toEqual([2, expect.stringMatching(/has .*README\.md.* already: name a new folder\.\n$/)])
    expect(readFileSync(join(folder, 'README.md'), 'utf8')).toBe('mine')
    for (const file of ['.gitignore', '.dockerignore'])
      expect(readFileSync(join(folder, file), 'utf8')).toContain('.env\n')
    expect(readFileSync(join(folder, '.env'), 'utf8')).toContain('WAYBILL_STORE=postgres://')
  })

  test('copies a packed package into the project, so that its image can be built elsewhere', async () => {
    const packed = join(emptyFolder(), 'waybill-9.9.9.tgz')
    writeFileSync(packed, 'packed')
    const folder = await create('--package', packed)
    expect(readFileSync(join(folder, 'waybill-9.9.9.tgz'), 'utf8')).toBe('packed')
    const { dependencies } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
    expect(dependencies.waybill).toBe('file:waybill-9.9.9.tgz')
    expect(readFileSync(join(folder, 'Dockerfile'), 'utf8')).toMatch(/^COPY package\.json .*\*\.tgz/m)
    expect(readFileSync(join(folder, '.dockerignore'), 'utf8')).not.toContain('tgz')
    const other = join(emptyFolder(), 'other')
    mkdirSync(other)
    writeFileSync(join(other, basename(packed)), 'mine')
    const refused = await waybill(['init', other, '--no-install', '--package', packed])
    expect([refused.code, refused.err]).toEqual([2, expect.stringContaining('has waybill-9.9.9.tgz already')])
    expect(readFileSync(join(other, basename(packed)), 'utf8')).toBe('mine')
  })

  test('is the same as npm create waybill', async () => {
    const folder = emptyFolder()
    const [door, stand] = [join(folder, 'node_modules/create-waybill'), join(folder, 'node_modules/waybill')]
    mkdirSync(door, { recursive: true })
    copyFileSync(`${root}create-waybill/create-waybill.js`, join(door, 'create-waybill.js'))
    copyFileSync(`${root}create-waybill/package.json`, join(door, 'package.json'))
    mkdirSync(join(stand, 'dist/cli'), { recursive: true })
    writeFileSync(join(stand, 'package.json'), '{"name":"waybill","type":"module"}')
    writeFileSync(join(stand, 'dist/cli/main.js'), `import ${JSON.stringify(`${root}src/cli/main.ts`)}\n`)
    await run(process.execPath, [join(door, 'create-waybill.js'), 'a b', '--no-install', '--server', 'hono'], {
      cwd: folder,
    })
    expect(JSON.parse(readFileSync(join(folder, 'a b/package.json'), 'utf8'))).toMatchObject({
      name: 'a-b',
      dependencies: { hono: '^4.0.0' },
    })
    const { version, dependencies } = JSON.parse(readFileSync(`${root}create-waybill/package.json`, 'utf8'))
    const own = JSON.parse(readFileSync(`${root}package.json`, 'utf8')).version
    expect([version, dependencies.waybill]).toEqual([own, own])
  })
})
