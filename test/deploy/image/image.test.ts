/** The images as they are built from the Dockerfiles: what is in it, and what it does in a container without any right. */
import { chownSync, mkdtempSync, readdirSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { Container, type ContainerOptions, ORDERS, PROJECT } from './container.ts'

/** The most that /app may have, in bytes. */
const MAX_APP_BYTES = 90 * 2 ** 20

const ORDER = { customer: 'Ada', items: [{ name: 'tea', quantity: 1 }] }

let data: string

beforeEach(() => {
  data = mkdtempSync(join(tmpdir(), 'data-'))
  chownSync(data, 1000, 1000)
})

function start(options: ContainerOptions = {}): Container {
  const env = { WAYBILL_STORE: 'sqlite:/data/orders.db', ORDER_PROCESSING_MS: '0', ...options.env }
  const container = new Container({ data, ...options, env })
  onTestFinished(() => container.remove())
  return container
}

async function startApi(): Promise<{ container: Container; url: string }> {
  const container = start({ env: { HOST: '127.0.0.1', PORT: '0', WAYBILL_RUN: 'none' } })
  const [, url = ''] = await container.written(/Order at (http:\S+)/)
  return { container, url }
}

/** Orders, and gives the status URL. */
async function order(url: string): Promise<URL> {
  const headers = { 'content-type': 'application/json' }
  const response = await fetch(`${url}/orders`, { method: 'POST', headers, body: JSON.stringify(ORDER) })
  expect(response.status).toBe(202)
  return new URL(response.headers.get('location') ?? '', url)
}

describe('a container of the image', () => {
  it('serves, works on one order, drains the others, works on, and ends on SIGTERM', async () => {
    const { container, url } = await startApi()
    expect((await fetch(`${url}/readyz`)).status).toBe(200)
    const [first, ...others] = [await order(url), await order(url), await order(url)]
    const id = first?.pathname.split('/').at(-1) ?? ''
    const job = start({ args: ['node', 'examples/orders/job.ts'], env: { WAYBILL_OPERATION_ID: id } })
    expect([await job.ended(), job.output]).toEqual([0, ''])
    expect(await (await fetch(first ?? '')).json()).toMatchObject({ status: 'completed', order: ORDER })
    const work = ['node', 'dist/cli/main.js', 'work', '--until-idle', '--run', 'inline', 'examples/orders/processor.ts']
    const drain = start({ args: work })
    expect(await drain.ended()).toBe(0)
    for (const it of others) expect(await (await fetch(it)).json()).toMatchObject({ status: 'completed' })
    const worker = start({ args: work.filter(word => word !== '--until-idle') })
    const last = await order(url)
    // Held until it is done.
    const headers = { prefer: 'wait=60' }
    expect(await (await fetch(last, { headers })).json()).toMatchObject({ status: 'completed' })
    for (const it of [worker, container]) {
      it.signal('SIGTERM')
      expect(await it.ended()).toBe(0)
    }
  })

  it('is not root, has no rights, and can change no file but those in /tmp and /data', async () => {
    const program = `
      const fs = require('fs')
      const status = fs.readFileSync('/proc/self/status', 'utf8')
      const field = name => new RegExp(name + ':\\\\s*(\\\\S+)').exec(status)[1]
      const tryWrite = path => { try { fs.writeFileSync(path, ''); return 'written' } catch (error) { return error.code } }
      const fields = ['Uid', 'CapEff', 'CapBnd', 'NoNewPrivs', 'Seccomp'].map(field)
      console.log(JSON.stringify([...fields, tryWrite('/app/new'), tryWrite('/tmp/new'), tryWrite('/data/new')]))`
    const container = start({ args: ['node', '-e', program] })
    expect([await container.ended(), container.output]).toEqual([0, expect.any(String)])
    const none = '0000000000000000'
    expect(JSON.parse(container.output)).toEqual(['1000', none, none, '1', '2', 'EROFS', 'written', 'written'])
  })

  it('takes what Node has compiled of its programs, and compiles none of it again', async () => {
    const container = start({
      args: ['node', '-e', `import('/app/examples/orders/orders.ts')`],
      env: { NODE_DEBUG_NATIVE: 'COMPILE_CACHE' },
    })
    expect(await container.ended()).toBe(0)
    for (const file of ['examples/orders/orders.ts', 'dist/model/operation-type.js']) {
      expect(container.output).toContain(`code cache for ESM file:///app/${file} was accepted`)
    }
  })

  it('collects the programs that its process leaves behind', async () => {
    const program = `
      const { execFileSync } = require('child_process')
      const pid = execFileSync('sh', ['-c', 'sleep 0.1 >/dev/null & echo $!'], { encoding: 'utf8' }).trim()
      const look = () => require('fs').existsSync('/proc/' + pid) ? setTimeout(look, 20) : console.log('collected')
      look()`
    const container = start({ args: ['node', '-e', program] })
    await container.written(/collected/)
    expect(await container.ended()).toBe(0)
  })
})

describe('the image of a project that waybill init has written', () => {
  it('serves without any right, keeps its data, and ends on SIGTERM', async () => {
    const options = { image: PROJECT, dataAt: '/app/data', env: { HOST: '127.0.0.1', PORT: '0' } }
    const serve = async () => {
      const container = start({ ...options, env: { ...options.env, WAYBILL_STORE: 'sqlite:./data/operations.db' } })
      const [, url = ''] = await container.written(/POST (http:\S+)\/greetings/)
      return { container, url }
    }
    const before = await serve()
    const headers = { 'content-type': 'application/json', prefer: 'wait=60' }
    const posted = await fetch(`${before.url}/greetings`, { method: 'POST', headers, body: '{"name":"Ada"}' })
    const greeting = { status: 'completed', result: { text: 'Hello, Ada!' } }
    expect(await posted.json()).toMatchObject(greeting)
    // In production there is no console without a principal.
    expect((await fetch(`${before.url}/console`)).status).toBe(404)
    before.container.signal('SIGTERM')
    expect(await before.container.ended()).toBe(0)
    const after = await serve()
    expect(await (await fetch(after.url + posted.headers.get('content-location'))).json()).toMatchObject(greeting)
  })

  it('has what its contract and handler need, and nothing that only development needs', () => {
    const packages = readdirSync(join(PROJECT.root, 'app/node_modules'))
    expect(packages).toEqual(expect.arrayContaining(['fastify', 'waybill', 'zod']))
    expect(packages).not.toContain('typescript')
  })
})

describe('the image', () => {
  const files = readdirSync(join(ORDERS.root, 'app'), { recursive: true, encoding: 'utf8' })

  it('has no file that production does not need', () => {
    expect(files.length).toBeGreaterThan(1000)
    const examples = files.filter(file => file.startsWith('examples/'))
    expect(examples).toContain('examples/orders/api.ts')
    expect(files.filter(file => /\.map$|\.[cm]?ts$/.test(file) && !examples.includes(file))).toEqual([])
  })

  it('has at most 90 MiB of its own', () => {
    const bytes = files.reduce((sum, file) => sum + statSync(join(ORDERS.root, 'app', file)).size, 0)
    expect(bytes).toBeLessThan(MAX_APP_BYTES)
  })
})
