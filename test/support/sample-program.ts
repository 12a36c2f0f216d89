/** A program made of the samples that documentation shows: they are compiled under strict rules, and some are run. */
import { execFile } from 'node:child_process'
import { copyFile, mkdir, mkdtemp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { root } from '../../scripts/tools.ts'

const OPTIONS = {
  // Names that a block only shows are not fault of it. The package is taken as users have it, which is also quicker:
  // the compiler does not check the sources of the package again.
  compilerOptions: { noUnusedLocals: false, noUnusedParameters: false, customConditions: [] },
  include: ['.'],
  exclude: [],
}

/**
 * Makes a folder below the repository, so that packages resolve as they do for a user who has installed them. It holds
 * the contract and the handler of the example.
 *
 * @param globals names that samples use without importing them, as declarations
 */
export async function createProgramFolder(name: string, globals: string): Promise<string> {
  await mkdir(join(root, 'data'), { recursive: true })
  const folder = await mkdtemp(join(root, 'data', `${name}-`))
  for (const file of ['orders.ts', 'processor.ts', 'settings.ts']) {
    await copyFile(join(root, 'examples/orders', file), join(folder, file))
  }
  await writeFile(join(folder, 'globals.ts'), `declare global {\n${globals}\n}\nexport {}\n`)
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ extends: '../../tsconfig.json', ...OPTIONS }))
  return folder
}

/** A sample as a module: one that returns is the body of a function. */
export function moduleOf(code: string): string {
  const returns = /^(?:if \(.*\) )?return /m.test(code)
  return returns ? `export async function block() {\n${code}}\n` : `${code}\nexport {}\n`
}

/** What the compiler says of a folder; empty where all is well. */
export async function compile(folder: string, ...options: readonly string[]): Promise<string> {
  const compiler = join(root, 'node_modules/typescript/bin/tsc')
  const args = [compiler, ...options, '--checkers', '1']
  return await promisify(execFile)(process.execPath, args, { cwd: folder }).then(
    ({ stdout }) => stdout,
    // A compiler that does not start has written nothing.
    (error: { stdout: string }) => error.stdout || String(error),
  )
}
