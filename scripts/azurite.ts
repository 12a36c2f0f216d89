/**
 * `npm run test:azurite`: the tests of test/blobs/azurite against Azurite, the emulator of Azure Storage. It
 * is large, so it is a package of its own, which is installed when first needed. Further arguments go to Vitest.
 */
import { existsSync, readFileSync } from 'node:fs'
import { node, npm, root, run } from './tools.ts'

const FOLDER = `${root}test/blobs/azurite`

process.exitCode = main()

function main(): number {
  if (!isInstalled()) {
    const [program, ...first] = npm()
    // It has native parts for the keys of desktops, which are not used: no script of it need run.
    const code = run(program, [...first, 'ci', '--prefix', FOLDER, '--ignore-scripts'])
    if (code !== 0) return code
  }
  const config = ['--config', 'test/blobs/azurite/vitest.config.ts']
  return node('node_modules/vitest/vitest.mjs', 'run', ...config, ...process.argv.slice(2))
}

function isInstalled(): boolean {
  const installed = `${FOLDER}/node_modules/azurite/package.json`
  return existsSync(installed) && versionIn(installed) === wanted()
}

function versionIn(file: string): unknown {
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: unknown }).version
}

function wanted(): unknown {
  const { dependencies } = JSON.parse(readFileSync(`${FOLDER}/package.json`, 'utf8')) as {
    dependencies: Record<string, string>
  }
  return dependencies.azurite
}
