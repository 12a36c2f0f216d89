import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The repository's root, with a slash at its end. */
export const root: string = fileURLToPath(new URL('..', import.meta.url))

const require = createRequire(import.meta.url)

/** Runs a program from the root, its output shown as it comes, and gives its exit code (1 if a signal ended it). */
export function run(program: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env): number {
  const { status, error } = spawnSync(program, args, { cwd: root, stdio: 'inherit', env })
  if (error) console.error(`${program} did not start: ${error.message}`)
  return status ?? 1
}

/** Runs a script under the Node that runs this one, so that no step falls back to another version in PATH. */
export function node(script: string, ...args: string[]): number {
  return run(process.execPath, [script, ...args])
}

/** The npm that started this script, or the one in PATH: a program and the arguments that come first. */
export function npm(): readonly [program: string, ...args: string[]] {
  const script = process.env.npm_execpath
  return script?.endsWith('.js') ? [process.execPath, script] : ['npm']
}

/** Packs the package as it would be published. Gives the file, which is alone in its folder below `.toolchain/`. */
export function pack(): string {
  const folder = join(root, '.toolchain/packed')
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  const [program, ...first] = npm()
  if (run(program, [...first, 'pack', '--silent', '--pack-destination', folder]) !== 0)
    throw new Error('npm pack failed')
  const [file = ''] = readdirSync(folder)
  return join(folder, file)
}

/**
 * Finds Biome's build for this platform. Each build is a package of its own, and only those in
 * toolchain/package.json are installed: docs/decisions/0001-toolchain.md says why.
 *
 * Throws an error that says what to install where there is none.
 */
export function biomeBuild(): string {
  const name = `@biomejs/cli-${process.platform}-${process.arch}`
  try {
    return require.resolve(`${name}/${process.platform === 'win32' ? 'biome.exe' : 'biome'}`)
  } catch (cause) {
    const message = `Biome's build for this platform is not installed. Run: npm install --no-save ${name}@${biomeVersion()}`
    throw new Error(message, { cause })
  }
}

/** Runs Biome and gives its exit code; where it has no build here, says what to do and gives 1. */
export function biome(...args: string[]): number {
  try {
    return run(biomeBuild(), args)
  } catch (error) {
    console.error(error instanceof Error ? error.message : error)
    return 1
  }
}

function biomeVersion(): string {
  const { optionalDependencies } = require('../toolchain/package.json') as {
    optionalDependencies: Record<string, string>
  }
  return optionalDependencies['@biomejs/cli-linux-x64'] ?? 'latest'
}
