/**
 * Checks the package as it would be published: packed, unpacked nowhere near src. publint and
 * attw read the tarball; every link of its pages leads to a file in it; the client's sizes are measured on its built
 * file; a new project compiles, and its tests pass. Needs `npm run build` before.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import { publint } from 'publint'
import { formatMessage } from 'publint/utils'
import { rolldown } from 'rolldown'
import { npm, root } from './tools.ts'

/** The most that each may weigh in a page: bundled alone, minified and compressed, in bytes. */
const MAX_SIZES = { fetchAndWait: 3071, client: 5075 }

/** The most that all files of the console may weigh together, compressed, in bytes. */
const MAX_CONSOLE_SIZE = 120_000

/** Two that differ in what they shorten: a size that holds by both holds by most. */
const BUNDLERS = { rolldown: bundleByRolldown, esbuild: bundleByEsbuild }

const CLIENT = JSON.stringify(`${root}dist/client/client.js`)

process.exitCode = await main()

async function main(): Promise<number> {
  mkdirSync(`${root}data`, { recursive: true })
  // In the repository, for the packages that a new project needs.
  const folder = mkdtempSync(`${root}data/pack-`)
  try {
    const tarball = pack(folder)
    const project = join(folder, 'project')
    const unpacked = join(project, 'node_modules/waybill')
    mkdirSync(unpacked, { recursive: true })
    unpack(tarball, unpacked)
    const checks = [
      await checkExports(tarball),
      checkTypes(tarball),
      checkLinks(unpacked),
      await checkSizes(),
      checkConsole(unpacked),
      checkProject(project, unpacked),
    ]
    const failed = checks.filter(passed => !passed)
    return failed.length === 0 ? 0 : 1
  } finally {
    rmSync(folder, { recursive: true })
  }
}

function pack(folder: string): string {
  const [program, ...args] = npm()
  // Without scripts: the steps before this one have built dist.
  const command = [...args, 'pack', '--ignore-scripts', '--loglevel=error', '--pack-destination', folder]
  const { status, stderr } = spawnSync(program, command, { cwd: root, encoding: 'utf8' })
  const name = readdirSync(folder)[0]
  if (status !== 0 || !name) throw new Error(`npm pack failed: ${stderr}`)
  return join(folder, name)
}

async function checkExports(tarball: string): Promise<boolean> {
  const { buffer } = new Uint8Array(readFileSync(tarball))
  const { messages, pkg } = await publint({ pack: { tarball: buffer }, strict: true })
  for (const message of messages) console.error(`publint: ${formatMessage(message, pkg)}`)
  console.log(`publint: ${messages.length} problems`)
  return messages.length === 0
}

function checkTypes(tarball: string): boolean {
  const command = ['node_modules/@arethetypeswrong/cli/dist/index.js', tarball, '--profile', 'esm-only']
  const { status, stdout, stderr } = spawnSync(process.execPath, command, { cwd: root, encoding: 'utf8' })
  if (status !== 0) console.error(stdout, stderr)
  console.log(`attw: ${status === 0 ? 'types resolve for every entry point' : 'found problems'}`)
  return status === 0
}

/** A link that leads out of the package is dead where the package is installed or its README is shown. */
function checkLinks(unpacked: string): boolean {
  const pages = filesIn(unpacked).filter(file => /^(?:docs\/.*|[^/]*)\.md$|^llms\.txt$/.test(file))
  const dead = pages.flatMap(page => {
    const targets = [...read(unpacked, page).matchAll(/\]\((?!\w+:|#)([^)#\s]+)/g)].map(([, target = '']) => target)
    return targets.filter(target => !isInside(unpacked, join(dirname(page), target))).map(to => `${page}: ${to}`)
  })
  for (const link of dead) console.error(`The package does not hold what this links to: ${link}`)
  console.log(`links: ${pages.length} pages, ${dead.length} dead links`)
  return dead.length === 0 && pages.length > 0
}

/** Whether the path is that of a file or a folder of the package. */
function isInside(unpacked: string, path: string): boolean {
  return !path.startsWith('..') && existsSync(join(unpacked, path))
}

/** What `waybill init` of the package makes, with the package in it; the other packages are those of this repository. */
function checkProject(folder: string, unpacked: string): boolean {
  const ran = [
    [join(unpacked, 'dist/cli/main.js'), 'init', folder, '--yes', '--no-install'],
    [`${root}node_modules/typescript/bin/tsc`, '-p', folder],
    ['--test'],
  ].map(args => spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8' }))
  const failed = ran.find(({ status }) => status !== 0)
  if (failed) console.error(failed.stdout, failed.stderr)
  console.log(`waybill init: ${failed ? 'the project fails' : 'the project compiles, and its tests pass'}`)
  return failed === undefined
}

function unpack(tarball: string, folder: string): void {
  const { status, stderr } = spawnSync('tar', ['-xzf', tarball, '-C', folder, '--strip-components=1'])
  if (status !== 0) throw new Error(`tar failed: ${stderr}`)
}

/** The files below a folder, with slashes in their names. */
function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map(file => file.replaceAll('\\', '/'))
    .filter(file => statSync(join(folder, file)).isFile())
}

function read(folder: string, file: string): string {
  return readFileSync(join(folder, file), 'utf8')
}

async function checkSizes(): Promise<boolean> {
  let fits = true
  for (const [name, most] of Object.entries(MAX_SIZES)) {
    for (const [bundler, bundle] of Object.entries(BUNDLERS)) {
      const size = gzipSync(await bundle(`export { ${name} } from ${CLIENT}`), { level: 9 }).length
      console.log(`waybill/client: ${name} ${size} bytes by ${bundler} (at most ${most})`)
      fits &&= size <= most
    }
  }
  return fits
}

/** The console is in the package, and light. */
function checkConsole(unpacked: string): boolean {
  const files = filesIn(unpacked).filter(file => file.startsWith('dist/console/'))
  const size = files.reduce((sum, file) => sum + gzipSync(read(unpacked, file), { level: 9 }).length, 0)
  console.log(`console: ${size} bytes in ${files.length} files (at most ${MAX_CONSOLE_SIZE})`)
  return files.includes('dist/console/index.html') && size <= MAX_CONSOLE_SIZE
}

/** Bundles a module as a page would. Throws where something it imports is not available in a browser. */
async function bundleByRolldown(code: string): Promise<string> {
  const entry = {
    name: 'entry',
    resolveId: (id: string) => (id === 'entry' ? id : null),
    load: (id: string) => (id === 'entry' ? code : null),
  }
  const bundle = await rolldown({ input: 'entry', platform: 'browser', plugins: [entry], onLog: failOnLog })
  const { output } = await bundle.generate({ format: 'esm', minify: true })
  await bundle.close()
  return output.map(it => (it.type === 'chunk' ? it.code : '')).join('')
}

async function bundleByEsbuild(code: string): Promise<string> {
  const stdin = { contents: code, resolveDir: root }
  const { outputFiles, warnings } = await build({ stdin, bundle: true, minify: true, format: 'esm', write: false })
  if (warnings[0]) throw new Error(warnings[0].text)
  return outputFiles.map(it => it.text).join('')
}

function failOnLog(_level: string, log: { message: string }): void {
  throw new Error(log.message)
}
