/**
 * The programs that tests start (the command line, the example, fixtures, children and threads), bundled. Hundreds
 * of processes start in a run, and most of the time of each is the loading of a thousand modules, one by one.
 */
import { createHash } from 'node:crypto'
import {
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { basename, dirname, join, relative } from 'node:path'
import { pathToFileURL } from 'node:url'
import { build, type OutputFile, type Plugin } from 'esbuild'
import { root } from './tools.ts'

/** In the package, so that its own name resolves from there. */
const KEPT = `${root}data/programs`
const DAY_MS = 86_400_000

/** All that is imported by its path, or by an entry of the package. */
const ENTRIES = [
  ...exported(),
  'src/cli/main.ts',
  'src/stores/sqlite/writer-thread.ts',
  'src/worker/runners/child-process/child-main.ts',
  'examples/**/*.ts',
  'test/fixtures/**/*.ts',
]

/** The sources of the entries of the package. */
function exported(): string[] {
  const { exports } = JSON.parse(readFileSync(`${root}package.json`, 'utf8')) as {
    exports: Record<string, string | { readonly 'waybill-source': string }>
  }
  const patterns = Object.values(exports).flatMap(entry => (typeof entry === 'string' ? [] : entry['waybill-source']))
  // A pattern stands for one name: `stores/sqlite/sqlite.ts`, and not what is beside it.
  return patterns.flatMap(pattern =>
    globSync(pattern, { cwd: root }).filter(
      file => !pattern.includes('*') || basename(dirname(file)) === basename(file, '.ts'),
    ),
  )
}

/** Modules that most programs load, and that can be bundled. */
const BUNDLED = new Set([
  '@opentelemetry/api',
  'croner',
  'fastify',
  'ipaddr.js',
  'pg',
  'prom-client',
  'secure-json-parse',
  'standardwebhooks',
  'typebox',
  'uuid',
  'waybill',
  'zod',
])

const packageOf = (name: string) => name.split('/', name.startsWith('@') ? 2 : 1).join('/')

/** Leaves out the packages that are not to be bundled, and keeps `import.meta.url` what it was. */
const plugin: Plugin = {
  name: 'programs',
  setup({ onLoad, onResolve }) {
    onResolve({ filter: /^[^./]/ }, ({ path, importer }) => {
      const isOurs = !importer.includes('node_modules') && importer !== ''
      return isOurs && !path.startsWith('node:') && !BUNDLED.has(packageOf(path)) ? { path, external: true } : undefined
    })
    onLoad({ filter: /\.ts$/ }, ({ path }) => {
      if (path.includes('node_modules')) return undefined
      const url = JSON.stringify(pathToFileURL(path).href)
      return { contents: readFileSync(path, 'utf8').replaceAll('import.meta.url', url), loader: 'ts' }
    })
  },
}

/** A file, and the names that it exports. */
type Entry = readonly [file: string, names: string]

/** Bundles the programs, and gives the module that has processes take them from there: `node --require`. */
export async function bundlePrograms(): Promise<string> {
  const files = globSync(ENTRIES, { cwd: root })
  const { outputFiles, metafile } = await build({
    entryPoints: files,
    metafile: true,
    absWorkingDir: root,
    outbase: root,
    outdir: KEPT,
    bundle: true,
    splitting: true,
    platform: 'node',
    format: 'esm',
    target: 'node22',
    conditions: ['waybill-source', 'module'],
    external: ['pg-native'],
    outExtension: { '.js': '.mjs' },
    chunkNames: 'chunks/[hash]',
    // Some packages were written for `require`.
    banner: {
      js: "import { createRequire as $createRequire } from 'node:module'; const require = $createRequire(import.meta.url);",
    },
    ignoreAnnotations: true,
    plugins: [plugin],
    logLevel: 'error',
    sourcemap: true,
    sourcesContent: false,
    write: false,
  })
  // A dynamically imported module is an entry, too.
  const entries = Object.values(metafile.outputs).flatMap<Entry>(({ entryPoint = '', exports }) =>
    files.includes(entryPoint) ? [[entryPoint, exports.join(',')]] : [],
  )
  return keep(outputFiles, entries)
}

/** Writes the files into a folder that their content names: whole or not at all, and not again. */
function keep(files: readonly OutputFile[], entries: readonly Entry[]): string {
  const hash = createHash('sha256').update(hookOf(entries))
  for (const { path, contents } of files) hash.update(path).update(contents)
  const folder = join(KEPT, hash.digest('hex').slice(0, 16))
  const hook = join(folder, 'hook.cjs')
  if (existsSync(hook)) return hook
  mkdirSync(KEPT, { recursive: true })
  for (const old of readdirSync(KEPT)) removeOld(join(KEPT, old))
  const made = mkdtempSync(join(KEPT, 'new-'))
  for (const { path, contents } of files) {
    const file = join(made, relative(KEPT, path))
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, contents)
  }
  writeFileSync(join(made, 'hook.cjs'), hookOf(entries))
  renameSync(made, folder)
  return hook
}

function removeOld(folder: string): void {
  if (Date.now() - statSync(folder).mtimeMs > DAY_MS) rmSync(folder, { recursive: true, force: true })
}

/** Makes a process or a thread load each entry from the bundle. The entries keep their URLs. */
function hookOf(entries: readonly Entry[]): string {
  return `const { registerHooks } = require('node:module')
const { pathToFileURL } = require('node:url')
const { isMainThread } = require('node:worker_threads')
const root = pathToFileURL(${JSON.stringify(root)}).href
const bundle = pathToFileURL(__dirname + '/').href
const entries = new Map(${JSON.stringify(entries)})
// Vitest loads what it tests by itself.
const isVitest = isMainThread && /node_modules.vitest./.test(process.argv[1])
if (!isVitest) registerHooks({
  load(url, context, next) {
    const names = url.startsWith(root) ? entries.get(url.slice(root.length)) : undefined
    if (names === undefined) return next(url, context)
    const from = JSON.stringify(bundle + url.slice(root.length, -2) + 'mjs')
    const source = 'export {' + names + '} from ' + from + ';import ' + from
    return { format: 'module', source, shortCircuit: true }
  },
})
`
}
