/**
 * Checks the package as it would be published: packed, unpacked nowhere near src. publint and
 * attw read the tarball; the client's sizes are measured on its built file. Needs `npm run build` before.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { publint } from 'publint'
import { formatMessage } from 'publint/utils'
import { rolldown } from 'rolldown'
import { npm, root } from './tools.ts'

/** The most that each may weigh in a page: bundled alone, minified and compressed, in bytes. */
const MAX_SIZES = { fetchAndWait: 3584, client: 5324 }

const CLIENT = JSON.stringify(`${root}dist/client.js`)

process.exitCode = await main()

async function main(): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'waybill-pack-'))
  try {
    const tarball = pack(folder)
    const failed = [await checkExports(tarball), checkTypes(tarball), await checkSizes()].filter(passed => !passed)
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

async function checkSizes(): Promise<boolean> {
  let fits = true
  for (const [name, most] of Object.entries(MAX_SIZES)) {
    const size = await gzippedSize(`export { ${name} } from ${CLIENT}`)
    console.log(`waybill/client: ${name} ${size} bytes (the most is ${most})`)
    fits &&= size <= most
  }
  return fits
}

/** Bundles a module as a page would. Throws where something it imports is not to be found in a browser. */
async function gzippedSize(code: string): Promise<number> {
  const entry = {
    name: 'entry',
    resolveId: (id: string) => (id === 'entry' ? id : null),
    load: (id: string) => (id === 'entry' ? code : null),
  }
  const bundle = await rolldown({ input: 'entry', platform: 'browser', plugins: [entry], onLog: failOnLog })
  const { output } = await bundle.generate({ format: 'esm', minify: true })
  await bundle.close()
  return output.reduce((sum, it) => sum + (it.type === 'chunk' ? gzipSync(it.code, { level: 9 }).length : 0), 0)
}

function failOnLog(_level: string, log: { message: string }): void {
  throw new Error(log.message)
}
