/**
 * `npm test`: every check of this repository. First what needs no test, side by side, each with its output when it has
 * ended; where all of that has passed, the tests. Exits with the code of the first that has failed.
 * Further arguments go to Vitest: `npm test -- test/client/fetch-and-wait.test.ts -t retry`.
 */
import { spawn } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { node, root } from './tools.ts'

interface Check {
  readonly name: string
  /** Scripts with their arguments, one after the other. */
  readonly scripts: readonly (readonly [script: string, ...args: string[]])[]
}

/** The longest first, so that none of them runs alone in the end. */
const CHECKS: readonly Check[] = [
  // The types of the sources are checked beside it, with those of all else.
  { name: 'build and package checks', scripts: [['scripts/build.ts', '--noCheck'], ['scripts/package-checks.ts']] },
  { name: 'types', scripts: [['node_modules/typescript/bin/tsc', '-p', '.']] },
  { name: 'format and lint', scripts: [['scripts/biome.ts', 'check', '--error-on-warnings']] },
  { name: 'unused exports', scripts: [['node_modules/knip/bin/knip.js']] },
  { name: 'words', scripts: [['scripts/words.ts']] },
  { name: 'import rules', scripts: [['scripts/imports.ts']] },
  { name: 'measures', scripts: [['scripts/measures.ts']] },
]

process.exitCode = (await checkAll()) || runTests()

/** Runs as many checks at once as there are cores. Gives the exit code of the first that failed. */
async function checkAll(): Promise<number> {
  const waiting = [...CHECKS]
  const codes: number[] = []
  const lane = async () => {
    for (let check = waiting.shift(); check !== undefined; check = waiting.shift()) codes.push(await runCheck(check))
  }
  await Promise.all(Array.from({ length: availableParallelism() }, lane))
  return codes.find(code => code !== 0) ?? 0
}

async function runCheck({ name, scripts }: Check): Promise<number> {
  const started = performance.now()
  const output: Buffer[] = []
  let code = 0
  for (const script of scripts) code ||= await runQuietly(script, output)
  console.log(`\n=== ${name}\n${Buffer.concat(output)}${ended(name, code, started)}`)
  return code
}

function runTests(): number {
  console.log('\n=== tests')
  const started = performance.now()
  const code = node('node_modules/vitest/vitest.mjs', 'run', ...process.argv.slice(2))
  console.log(ended('tests', code, started))
  return code
}

function ended(name: string, code: number, started: number): string {
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  return `=== ${name}: ${code === 0 ? 'passed' : `failed with exit code ${code}`}, ${seconds} s`
}

/** Runs a script under the Node that runs this one. Gives its exit code, 1 where a signal ended it. */
function runQuietly(script: readonly string[], output: Buffer[]): Promise<number> {
  const child = spawn(process.execPath, script, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data: Buffer) => output.push(data))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', code => resolve(code ?? 1))
  })
}
