import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, test } from 'vitest'
import { inheritedExecArgv } from '../../src/util/exec-argv.ts'

const script = '/app/server.js'
/** What stands in its place where the program comes from standard input. */
const NONE = '-'

test.each<[given: string[], script: string, handedOn: string[]]>([
  [['--max-old-space-size=512', '--enable-source-maps'], script, ['--max-old-space-size=512', '--enable-source-maps']],
  [['-e', '1'], NONE, []],
  [['--eval', '-1', '--no-warnings'], NONE, ['--no-warnings']],
  [['-p', '1'], NONE, []],
  [['-p', '-e', '1'], NONE, []],
  [['-pe', '1'], NONE, []],
  [['--print', '1'], NONE, []],
  [['--input-type=module', '-e', 'await 1'], NONE, []],
  [['--input-type', 'module', '--eval=1'], NONE, []],
  [['--watch', '--watch-path', './src', '--watch-path=./lib'], script, []],
  [['--watch-preserve-output', '--inspect', '--inspect-brk=9229', '--inspect-port=0'], script, []],
  [['--test', '--test-name-pattern', 'a', '--test-only', '--experimental-test-coverage'], script, []],
  [['-i', '-c', '--check', '--interactive'], NONE, []],
  [['--import', './tracing.js', '-r', 'dotenv'], script, ['--import', './tracing.js', '-r', 'dotenv']],
  [['--import=tsx', '-e', '1'], NONE, ['--import=tsx']],
  [['--import', './server.js', '-e', '0'], NONE, []],
  [['--import', './server.js', '-e', '0'], 'an argument of the program', []],
  [['--import=file:///app/server.js', '--require', '/app/server.cjs'], '-', []],
  [
    ['--conditions', 'source', '-C', 'other', '--import', './server.js'],
    NONE,
    ['--conditions', 'source', '-C', 'other'],
  ],
  [['--env-file=.env', '--title', 'api'], script, ['--env-file=.env', '--title', 'api']],
])('of %j, with the script %s, %j are passed on', (given, path, handedOn) => {
  expect(inheritedExecArgv(given, path)).toEqual(handedOn)
})

const PACKAGE = new URL('../../src/', import.meta.url)

/** A program that runs an operation in a child, and writes down each time that it is run. */
function program(handlers: string): string {
  return `
    import { appendFileSync } from 'node:fs'
    appendFileSync('runs', process.pid + '\\n')
    const { defineOperation } = await import(${JSON.stringify(new URL('index.ts', PACKAGE).href)})
    const { createWaybill } = await import(${JSON.stringify(new URL('server.ts', PACKAGE).href)})
    const { sqliteStore } = await import(${JSON.stringify(new URL('stores/sqlite/sqlite.ts', PACKAGE).href)})
    const type = defineOperation({ name: 'greet' })
    const waybill = createWaybill({
      operations: [type],
      store: sqliteStore({ path: 'operations.db' }),
      worker: { handlers: new URL(${JSON.stringify(handlers)}, import.meta.url), concurrency: 1, pollInterval: 50 },
    })
    await waybill.start()
    const { operation } = await waybill.operations.submit(type, { input: null })
    while ((await waybill.store.read(operation.id)).status !== 'completed') await new Promise(r => setTimeout(r, 20))
    await waybill.stop()
    console.log('done')
  `
}

const HANDLERS = `
  import { defineOperation, handler } from ${JSON.stringify(new URL('index.ts', PACKAGE).href)}
  export default handler(defineOperation({ name: 'greet' }), () => 1)
`

function run(args: (folder: string) => string[], handlers = './handlers.mjs') {
  const folder = mkdtempSync(join(tmpdir(), 'waybill-test-'))
  try {
    writeFileSync(join(folder, 'server.mjs'), program(handlers))
    writeFileSync(join(folder, 'handlers.mjs'), HANDLERS)
    const ended = spawnSync(process.execPath, args(folder), { cwd: folder, encoding: 'utf8' })
    const runs = readFileSync(join(folder, 'runs'), 'utf8').trim().split('\n').length
    return { ...ended, runs }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

test.each<[name: string, args: string[]]>([
  ['as a script', ['server.mjs']],
  ['by --eval', ['-e', "import('./server.mjs')"]],
  ['by --eval as a module', ['--input-type=module', '-e', "await import('./server.mjs')"]],
  ['by --import', ['--import', './server.mjs', '-e', '0']],
])('a program that is started %s runs once, whatever it starts', (_, args) => {
  const { status, stdout, stderr, runs } = run(() => args)
  expect({ status, stdout, runs }, stderr).toEqual({ status: 0, stdout: 'done\n', runs: 1 })
})

test('a program that names itself as its handlers, or is preloaded in its children, is refused', () => {
  const itself = run(() => ['server.mjs'], './server.mjs')
  expect(itself.stderr).toContain('Let worker.handlers name a file that only exports handlers')
  expect({ failed: itself.status !== 0, runs: itself.runs }).toEqual({ failed: true, runs: 2 })
  const preload = run(folder => ['--import', pathToFileURL(join(folder, 'server.mjs')).href, 'handlers.mjs'])
  expect(preload.stderr).toContain('load that program neither there nor by --import')
  expect(preload.status).not.toBe(0)
})
