/** The samples of the README and of docs/guide/getting-started.md run as they stand, apart from the port, the folder and how long the work takes. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFile, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { rolldown } from 'rolldown'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { sqliteStore } from 'waybill/stores/sqlite'
import { PROBLEMS } from '../../src/model/problem-kinds.ts'
import type { StatusDocument } from '../../src/model/protocol.ts'
import { freePort } from '../support/free-port.ts'
import { atLength } from '../support/length.ts'
import { compile } from '../support/sample-program.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const processes: ChildProcess[] = []
let folder = ''
let port = 0

beforeAll(async () => {
  // Below the repository, so that `waybill` and `zod` resolve as they do for a user who has installed them.
  await mkdir(join(ROOT, 'data'), { recursive: true })
  folder = await mkdtemp(join(ROOT, 'data', 'readme-'))
  port = await freePort()
  const pages = ['README.md', 'docs/guide/getting-started.md', 'docs/guide/typescript.md']
  for (const [name, code] of (await Promise.all(pages.map(codeOf))).flat()) {
    const quick = code.replaceAll('resolve, 3000)', 'resolve, 300)')
    const moved = quick.replaceAll('3000', String(port)).replaceAll('./greetings.db', join(folder, `${name}.db`))
    await writeFile(join(folder, name), moved)
  }
})

afterAll(async () => {
  for (const child of processes) await end(child)
  await rm(folder, { recursive: true, force: true })
})

test('the server of the README, which is examples/hello.ts, answers as its curl commands show', async () => {
  const [[, shown = ''] = []] = await codeOf('README.md')
  expect(await readFile(join(ROOT, 'examples/hello.ts'), 'utf8')).toBe(
    `/** The smallest server: \`npm run hello\`. The README shows it, and a test runs it. */\n${shown}`,
  )
  const server = run('hello.ts')
  await listening(server)
  const url = `http://127.0.0.1:${port}`
  const submit = { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"name":"Ada"}' }
  const accepted = await fetch(`${url}/greetings`, submit)
  expect(accepted.status).toBe(202)
  expect(accepted.headers.get('retry-after')).toBe('1')
  const location = `${url}${accepted.headers.get('location')}`
  let answer = accepted
  // Each request is answered at the next change.
  while (!answer.redirected) answer = await fetch(location, { headers: { prefer: 'wait=30' } })
  expect(await answer.json()).toMatchObject({ status: 'completed', result: { text: 'Hello, Ada!' } })
  await end(server)
})

// node --watch posts messages of its own through the ports of processes and threads.
const WAYS = { 'node --watch': ['--watch', 'server.ts'], node: ['server.ts'] }

test.each(Object.entries(WAYS).slice(0, atLength(1, undefined)))(
  'the first operation of the guide works under %s, from the client to the handler and back',
  async (_, args) => {
    const server = run(...args)
    const log = text(server)
    await listening(server)
    const client = run('client.ts')
    const [said, [code]] = await Promise.all([text(client), once(client, 'exit')])
    expect(code).toBe(0)
    expect(said).toContain("status: 'completed'")
    expect(said).toContain("result: { text: 'Hello, Ada!' }")
    await end(server)
    // Nothing that Node sends for itself is taken for a message of the handler's.
    expect(await log).not.toContain('ignored')
  },
)

test('node --watch starts the server of the guide again when its handler changes, which only children load', async () => {
  const watched = run('--watch', 'server.ts')
  await listening(watched)
  // The watch of a file begins a moment after it was loaded.
  const change = setInterval(() => void appendFile(join(folder, 'greet.ts'), '\n'), 200)
  for await (const piece of watched.stdout ?? []) if (String(piece).includes('Restarting')) break
  clearInterval(change)
  await end(watched)
})

test('the samples compile, and run compiled, by the configurations of the page on TypeScript', async () => {
  expect(await compile(folder)).toBe('')
  // With the types that were just checked.
  expect(await compile(folder, '-p', 'tsconfig.build.json', '--noCheck')).toBe('')
  const server = run('dist/server.js')
  await listening(server)
  const client = run('dist/client.js')
  const [said, [code]] = await Promise.all([text(client), once(client, 'exit')])
  expect(code).toBe(0)
  expect(said).toContain("result: { text: 'Hello, Ada!' }")
  await end(server)
})

test('a browser that imports the contract of the guide does not load the handler', async () => {
  const bundle = await rolldown({ input: join(folder, 'greetings.ts'), platform: 'browser', external: ['zod'] })
  const { output } = await bundle.generate({ format: 'esm' })
  await bundle.close()
  const modules = output.flatMap(chunk => (chunk.type === 'chunk' ? chunk.moduleIds : []))
  expect(modules.some(id => id.endsWith('greetings.ts'))).toBe(true)
  expect(modules.filter(id => id.endsWith('greet.ts'))).toEqual([])
})

/** Instead of the handler's work. */
const UNTIL_STOPPED = `
  await new Promise<string>((_, reject) => {
    job.signal.addEventListener('abort', () => reject(job.signal.reason))
  })
  const text = ''`

const SERVERS = [
  ['the guide', 'server.ts', 'greet.ts', / {2}const text = .*/],
  ['the README', 'hello.ts', 'hello.ts', / {2}await new Promise.*/],
] as const

test.each(SERVERS.slice(0, atLength(1, undefined)))(
  'the server of %s prints its address, and hands its work back at SIGTERM',
  async (_, file, handlerFile, work) => {
    const read = (name: string) => readFile(join(folder, name), 'utf8')
    await writeFile(
      join(folder, 'slow-server.ts'),
      (await read(file)).replaceAll('./greet.ts', './slow-server-greet.ts'),
    )
    const slow = handlerFile === file ? 'slow-server.ts' : 'slow-server-greet.ts'
    await writeFile(join(folder, slow), (await read(handlerFile)).replace(work, UNTIL_STOPPED))
    const server = run('slow-server.ts')
    const said = text(server)
    await listening(server)
    const submit = { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"name":"slow"}' }
    const { links } = (await (await fetch(`http://127.0.0.1:${port}/greetings`, submit)).json()) as StatusDocument
    const status = `http://127.0.0.1:${port}${links.status}`
    for (let now = 'pending'; now !== 'running'; ) now = ((await (await fetch(status)).json()) as StatusDocument).status
    const exited = once(server, 'exit')
    server.kill('SIGTERM')
    expect(await exited).toEqual([0, null])
    expect(await said).toMatch(/^POST http:\/\/\S+:\d+\/greetings, described at http:\/\/\S+\/docs$/m)
    const store = sqliteStore({ path: join(folder, `${file}.db`) })
    await store.open()
    const operation = await store.read(links.status.split('/').at(-1) ?? '')
    await store.close()
    expect(operation).toMatchObject({ status: 'pending', attempt: 1, released: 1 })
  },
)

test('the page of problems agrees with the table', async () => {
  const page = await readFile(join(ROOT, 'docs/reference/problems.md'), 'utf8')
  for (const [code, { status, title, cure }] of Object.entries(PROBLEMS)) {
    expect(page).toContain(`| \`${code}\` | ${status} | ${title} | ${cure} |`)
  }
})

test.each(['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'llms.txt'])(
  'every link of %s to a file leads to one',
  async name => {
    const page = await readFile(join(ROOT, name), 'utf8')
    const targets = [...page.matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map(([, target = '']) => target)
    for (const target of targets) await expect(stat(join(ROOT, target)), target).resolves.toBeDefined()
  },
)

test('llms.txt lists every page of the guide, the reference, and the folders deploy and extend', async () => {
  const list = await readFile(join(ROOT, 'llms.txt'), 'utf8')
  for (const room of ['guide', 'reference', 'deploy', 'extend']) {
    for (const page of await readdir(join(ROOT, 'docs', room))) expect(list).toContain(`(docs/${room}/${page})`)
  }
})

/** The code blocks of a page that name a file. */
async function codeOf(page: string): Promise<[string, string][]> {
  const markdown = await readFile(join(ROOT, page), 'utf8')
  return [...markdown.matchAll(/```(?:ts|json) file=(\S+)\n(.*?)```/gs)].map(([, name = '', code = '']) => [name, code])
}

function run(...args: string[]): ChildProcess {
  const child = spawn(process.execPath, args, { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] })
  processes.push(child)
  return child
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  // Not SIGKILL: node --watch could not end the server that it has started.
  child.kill('SIGTERM')
  await exited
}

async function text(child: ChildProcess): Promise<string> {
  let said = ''
  for await (const piece of child.stdout ?? []) said += piece
  return said
}

async function listening(server: ChildProcess): Promise<void> {
  for (;;) {
    if (server.exitCode !== null) throw new Error(`The server ended with code ${server.exitCode}.`)
    const answer = await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => undefined)
    if (answer?.status === 200) return
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}
