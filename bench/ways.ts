/**
 * How long an order takes from POST to its result, by who does the work, when the work itself takes no time:
 * `node --conditions=waybill-source bench/ways.ts`. The figures are in docs/deploy/choosing.md.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const API = fileURLToPath(new URL('../examples/orders/api.ts', import.meta.url))
const CLI = fileURLToPath(new URL('../src/cli/main.ts', import.meta.url))
const PROCESSOR = fileURLToPath(new URL('../examples/orders/processor.ts', import.meta.url))
const ORDER = JSON.stringify({ customer: 'Contoso', items: [{ name: 'Apple', quantity: 5 }] })
const ROUNDS = 30
const BACKLOG = 1000

const folder = mkdtempSync(join(tmpdir(), 'waybill-ways-'))
const shared = { ...process.env, PORT: '0', ORDER_PROCESSING_MS: '0', NODE_NO_WARNINGS: '1' }

try {
  for (const run of ['inline', 'children', 'process']) await show(run, run)
  await show('none, and a worker beside it', 'none', true)
  await drain()
} finally {
  rmSync(folder, { recursive: true })
}

async function show(name: string, run: string, worker = false): Promise<void> {
  const store = `sqlite:${join(folder, `${name}.db`)}`
  const api = await startApi(run, store)
  const work = worker ? await startWorker(store) : undefined
  for (let n = 0; n < 3; n++) await order(api.url)
  const times: number[] = []
  for (let n = 0; n < ROUNDS; n++) times.push(await order(api.url))
  times.sort((a, b) => a - b)
  const [median = 0, slowest = 0] = [times[ROUNDS >> 1], times.at(-1)]
  console.log(`${name}: median ${median.toFixed(1)} ms, slowest ${slowest.toFixed(1)} ms of ${ROUNDS}`)
  await Promise.all([api.child, work].map(end))
}

async function drain(): Promise<void> {
  const store = `sqlite:${join(folder, 'drain.db')}`
  const api = await startApi('none', store)
  for (let n = 0; n < BACKLOG; n += 50) await Promise.all(Array.from({ length: 50 }, () => post(api.url)))
  for (const what of [`${BACKLOG} orders`, 'nothing']) {
    const started = performance.now()
    const args = [CLI, 'work', '--until-idle', '--idle', '0s', '--run', 'inline', '--store', store, PROCESSOR]
    await once(spawn(process.execPath, [...process.execArgv, ...args], { env: shared, stdio: 'ignore' }), 'exit')
    console.log(`one draining execution, ${what}: ${((performance.now() - started) / 1000).toFixed(2)} s`)
  }
  await end(api.child)
}

/** Milliseconds from the POST until its result has arrived. */
async function order(url: string): Promise<number> {
  const started = performance.now()
  const location = await post(url)
  const result = await fetch(`${url}${location}`, { headers: { Prefer: 'wait=30' } })
  await result.text()
  if (!result.redirected) throw new Error(`It is not finished: ${result.status}`)
  return performance.now() - started
}

async function post(url: string): Promise<string | null> {
  const headers = { 'Content-Type': 'application/json' }
  const response = await fetch(`${url}/orders`, { method: 'POST', headers, body: ORDER })
  await response.text()
  return response.headers.get('Location')
}

async function startApi(run: string, store: string): Promise<{ child: ChildProcess; url: string }> {
  const child = start([API], { WAYBILL_RUN: run, WAYBILL_STORE: store })
  const url = /http:\/\/[\w.:]+/.exec(await firstLine(child))?.[0] ?? ''
  return { child, url }
}

async function startWorker(store: string): Promise<ChildProcess> {
  const child = start([CLI, 'work', '--run', 'inline', '--store', store, PROCESSOR], {})
  await firstLine(child)
  return child
}

function start(args: readonly string[], env: Readonly<Record<string, string>>): ChildProcess {
  const stdio: ['ignore', 'pipe', 'inherit'] = ['ignore', 'pipe', 'inherit']
  return spawn(process.execPath, [...process.execArgv, ...args], { env: { ...shared, ...env }, stdio })
}

async function firstLine(child: ChildProcess): Promise<string> {
  if (child.stdout === null) throw new Error('It has no output.')
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  return line.toString()
}

async function end(child: ChildProcess | undefined): Promise<void> {
  if (child === undefined) return
  child.kill()
  await once(child, 'exit')
}
