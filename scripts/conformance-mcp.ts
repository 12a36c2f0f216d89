/**
 * `npm run conformance:mcp`: the conformance suite of the Model Context Protocol against a server of ours, and its scenarios
 * of tasks once more with a server that is killed between any two calls; the Inspector's command line too. The suite is large, so it is a package of its own,
 * which is installed when first needed. With arguments it runs the scenarios that they name.
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { killingFront, startServer } from '../test/http/mcp/conformance/processes.ts'
import { npm, root, run } from './tools.ts'

const FOLDER = `${root}test/http/mcp/suite`
const PACKAGE = '@modelcontextprotocol/conformance'
const SUITE = `${PACKAGE}/dist/index.js`
const INSPECTOR = '@modelcontextprotocol/inspector/clients/launcher/build/index.js'

/** The scenarios of the extension for tasks. The suite has nothing yet behind `tasks-status-notifications`: test/http/mcp has. */
const TASKS = [
  'tasks-lifecycle',
  'tasks-capability-negotiation',
  'tasks-wire-fields',
  'tasks-request-state-removal',
  'tasks-request-headers',
  'tasks-required-task-error',
  'tasks-dispatch-and-envelope',
  'tasks-mrtr-input',
  'tasks-mrtr-composition',
  'tasks-status-notifications',
]
/** Those of revision 2026-07-28 that are not of its suite `active`. */
const MODERN = ['server-stateless', 'http-header-validation', 'json-schema-2020-12']

process.exitCode = await main(process.argv.slice(2))

async function main(named: readonly string[]): Promise<number> {
  const code = install()
  if (code !== 0) return code
  const plain = await onServer(async url => {
    const passed = await runAll(url, named.length > 0 ? named : [...TASKS, ...MODERN])
    if (named.length > 0) return passed
    const all = [passed, await runActive(url), await inspect(url)]
    return all.every(one => one)
  })
  const killed = await onKilledServers(async url => {
    const passed = await runAll(url, named.length > 0 ? named : TASKS)
    return named.length > 0 ? passed : (await runActive(url)) && passed
  })
  return plain && killed ? 0 : 1
}

async function runActive(url: string): Promise<boolean> {
  const { code, output } = await conformance(url, '--suite', 'active')
  console.log(output)
  return code === 0
}

async function onServer(work: (url: string) => Promise<boolean>): Promise<boolean> {
  const server = await startServer('all')
  try {
    return await work(server.said)
  } finally {
    await server.kill()
  }
}

async function onKilledServers(work: (url: string) => Promise<boolean>): Promise<boolean> {
  const folder = mkdtempSync(join(tmpdir(), 'waybill-mcp-'))
  const place = [join(folder, 'operations.db'), join(folder, 'results')]
  const worker = await startServer('work', ...place)
  const front = await killingFront(...place)
  try {
    const passed = await work(front.url)
    const slow = front.unkilled() > 0 ? `; ${front.unkilled()} calls came before the next server was ready` : ''
    console.log(`${front.kills()} servers were killed, each between two calls${slow}`)
    return passed
  } finally {
    await Promise.all([front.close(), worker.kill()])
    rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
  }
}

async function runAll(url: string, scenarios: readonly string[]): Promise<boolean> {
  let allPassed = true
  for (const scenario of scenarios) {
    const { code, output } = await conformance(url, '--scenario', scenario)
    console.log(`${code === 0 ? 'passed' : 'FAILED'}  ${scenario}  ${/Passed: .*/.exec(output)?.[0] ?? ''}`)
    if (code !== 0) console.log(output)
    allPassed &&= code === 0
  }
  return allPassed
}

/** Runs the suite on a server. */
function conformance(url: string, ...args: string[]): Promise<{ code: number; output: string }> {
  return outputOf(SUITE, 'server', '--url', `${url}/mcp`, '--timeout', '120000', ...args)
}

async function outputOf(script: string, ...args: string[]): Promise<{ code: number; output: string }> {
  const child = spawn(process.execPath, [`${FOLDER}/node_modules/${script}`, ...args])
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
  }
  const code = await new Promise<number>(resolve => child.once('close', status => resolve(status ?? 1)))
  return { code, output }
}

/** Has the Inspector of MCP list the tools and call one, as a user of its command line does. */
async function inspect(url: string): Promise<boolean> {
  const calls = [
    ['--method', 'tools/list'],
    ['--method', 'tools/call', '--tool-name', 'slow_compute', '--tool-arg', 'seconds=1', '--tool-arg', 'label=cli'],
  ]
  const expected = ['"slow_compute"', '"cli took 1 s"']
  let allPassed = true
  for (const [index, call] of calls.entries()) {
    const { code, output } = await outputOf(INSPECTOR, '--cli', `${url}/mcp`, '--transport', 'http', ...call)
    const passed = code === 0 && output.includes(expected[index] ?? '')
    console.log(`${passed ? 'passed' : 'FAILED'}  the Inspector, ${call[1]}`)
    if (!passed) console.log(output)
    allPassed &&= passed
  }
  return allPassed
}

/** Installs the suite, where it is not there in the version that is wanted. */
function install(): number {
  const installed = `${FOLDER}/node_modules/${PACKAGE}/package.json`
  const { dependencies } = JSON.parse(readFileSync(`${FOLDER}/package.json`, 'utf8')) as {
    dependencies: Record<string, string>
  }
  const wanted = dependencies[PACKAGE]
  if (existsSync(installed) && (JSON.parse(readFileSync(installed, 'utf8')) as { version: unknown }).version === wanted)
    return 0
  const [program, ...first] = npm()
  return run(program, [...first, 'ci', '--prefix', FOLDER, '--ignore-scripts'])
}
