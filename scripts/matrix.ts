/**
 * `npm run test:matrix`: the tests on each Node of toolchain/matrix/package.json, which are
 * installed when first needed. Further arguments go to Vitest.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { delimiter, dirname } from 'node:path'
import { node, npm, root, run } from './tools.ts'

const FOLDER = `${root}toolchain/matrix`

process.exitCode = main()

function main(): number {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    console.error(
      'The matrix needs Linux on x64. Elsewhere, switch Node by your version manager and run: npx vitest run',
    )
    return 1
  }
  const versions = readVersions()
  const prepared = install(versions) || node('scripts/build.ts')
  return prepared || testAll([...versions.keys()])
}

/** The Node versions by alias: `node22` to `22.23.3`. */
function readVersions(): Map<string, string> {
  const { dependencies } = JSON.parse(readFileSync(`${FOLDER}/package.json`, 'utf8')) as {
    dependencies: Record<string, string>
  }
  return new Map(Object.entries(dependencies).map(([alias, target]) => [alias, target.replace(/^.*@/, '')]))
}

function binary(alias: string): string {
  return `${FOLDER}/node_modules/${alias}/bin/node`
}

function install(versions: ReadonlyMap<string, string>): number {
  const ready = [...versions].every(([alias, version]) => versionOf(alias) === `v${version}`)
  if (ready) return 0
  const [program, ...args] = npm()
  return run(program, [...args, 'ci', '--prefix', FOLDER])
}

function versionOf(alias: string): string | undefined {
  return spawnSync(binary(alias), ['--version'], { encoding: 'utf8' }).stdout?.trim()
}

function testAll(aliases: readonly string[]): number {
  const codes = new Map(aliases.map(alias => [alias, test(alias)]))
  for (const [alias, code] of codes) console.log(`${alias}: ${code === 0 ? 'passed' : `failed with exit code ${code}`}`)
  return [...codes.values()].find(code => code !== 0) ?? 0
}

function test(alias: string): number {
  console.log(`\n=== ${alias}`)
  const program = binary(alias)
  // Processes that tests start by the name `node` must be of the same version.
  const env = { ...process.env, PATH: `${dirname(program)}${delimiter}${process.env.PATH ?? ''}` }
  return run(program, ['node_modules/vitest/vitest.mjs', 'run', ...process.argv.slice(2)], env)
}
