/**
 * `npm test`: every check of this repository, the quick ones first; stops at the first that fails
 * and exits with its code. Further arguments go to Vitest: `npm test -- test/client/fetch-and-wait.test.ts -t retry`.
 */
import { biome, node } from './tools.ts'

interface Step {
  readonly name: string
  /** Gives an exit code. */
  readonly run: () => number
}

const STEPS: readonly Step[] = [
  { name: 'format and lint', run: () => biome('check', '--error-on-warnings') },
  { name: 'types', run: () => node('node_modules/typescript/bin/tsc', '-p', '.') },
  { name: 'import rules', run: () => node('scripts/imports.ts') },
  { name: 'measures', run: () => node('scripts/measures.ts') },
  { name: 'unused exports', run: () => node('node_modules/knip/bin/knip.js') },
  { name: 'words', run: () => node('scripts/words.ts') },
  { name: 'build', run: () => node('scripts/build.ts') },
  { name: 'tests', run: () => node('node_modules/vitest/vitest.mjs', 'run', ...process.argv.slice(2)) },
  { name: 'package checks', run: () => node('scripts/package-checks.ts') },
]

process.exitCode = runAll(STEPS)

function runAll(steps: readonly Step[]): number {
  for (const step of steps) {
    const code = runOne(step)
    if (code !== 0) return code
  }
  return 0
}

function runOne({ name, run }: Step): number {
  console.log(`\n=== ${name}`)
  const started = performance.now()
  const code = run()
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  console.log(`=== ${name}: ${code === 0 ? 'passed' : `failed with exit code ${code}`}, ${seconds} s`)
  return code
}
