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
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type OutputChunk, type Plugin, rolldown } from 'rolldown'
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

/** Packages that most programs load, and that can be bundled: one that needs another comes after it. */
const BUNDLED = new Set([
  '@opentelemetry/api',
  'croner',
  'ipaddr.js',
  'pg',
  'prom-client',
  'secure-json-parse',
  'standardwebhooks',
  'typebox',
  'uuid',
  'waybill',
  'zod',
  'fastify',
])

/**
 * The parts that programs share, each with all that it needs: a program takes few files, and little that it does not use.
 * What is in one part is in none of those after it. None of these modules does anything when it is loaded.
 */
const PARTS: Readonly<Record<string, readonly string[]>> = {
  writer: ['src/stores/sqlite/writer.ts', 'src/stores/sqlite/writer-messages.ts'],
  child: [
    'src/util/process-origin.ts',
    'src/worker/attempt.ts',
    'src/worker/handlers.ts',
    'src/worker/runners/child-process/child-host.ts',
    'src/worker/runners/child-process/child-messages.ts',
    'src/worker/runners/child-process/environment.ts',
  ],
  declarations: ['src/index.ts'],
  job: ['src/worker/run-operation.ts'],
  server: ['src/server.ts'],
  http: ['src/servers/fastify.ts'],
}

const packageOf = (name: string) => name.split('/', name.startsWith('@') ? 2 : 1).join('/')

/** A module of a package, but not the package itself where it lies in the folder of another one. */
const isOfPackage = (name: string) => (module: string) => module.startsWith(`${root}node_modules/${name}/`)

/** Leaves out the packages that are not to be bundled, and keeps `import.meta.url` what it was. */
const plugin: Plugin = {
  name: 'programs',
  resolveId: {
    filter: { id: /^[^./]/ },
    handler: (id, importer = '') =>
      !importer.includes('node_modules') && importer !== '' && !id.startsWith('node:') && !BUNDLED.has(packageOf(id))
        ? { id, external: true }
        : null,
  },
  load: {
    filter: { id: { include: /\.ts$/, exclude: /node_modules/ } },
    handler: path => {
      const url = JSON.stringify(pathToFileURL(path).href)
      return { code: readFileSync(path, 'utf8').replaceAll('import.meta.url', url), moduleType: 'ts' }
    },
  },
}

/** A file, and the names that it exports. */
type Entry = readonly [file: string, names: string]

/** Bundles the programs, and gives the module that has processes take them from there: `node --require`. */
export async function bundlePrograms(): Promise<string> {
  const files = globSync(ENTRIES, { cwd: root })
  const bundle = await rolldown({
    input: Object.fromEntries(files.map(file => [file.slice(0, -'.ts'.length), root + file])),
    cwd: root,
    platform: 'node',
    resolve: { conditionNames: ['waybill-source', 'module', 'import', 'node'] },
    external: ['pg-native'],
    transform: { target: 'node22.13' },
    treeshake: { annotations: false, moduleSideEffects: true },
    plugins: [plugin],
    logLevel: 'silent',
  })
  const { output } = await bundle.generate({
    // As deep as the folder will be, for the paths in the source maps.
    dir: join(KEPT, 'hash'),
    format: 'esm',
    entryFileNames: '[name].mjs',
    chunkFileNames: 'chunks/[name]-[hash].mjs',
    codeSplitting: {
      groups: [
        ...[...BUNDLED].map(name => ({ name, test: isOfPackage(name), priority: 1 })),
        ...Object.entries(PARTS).map(([name, files]) => ({
          name,
          test: (module: string) => files.some(file => module === root + file),
        })),
      ],
    },
    sourcemap: true,
    sourcemapExcludeSources: true,
  })
  await bundle.close()
  const chunks = output.filter(it => it.type === 'chunk')
  // A dynamically imported module is an entry, too.
  const entries = chunks.flatMap<Entry>(({ isEntry, name, exports }) =>
    isEntry ? [[`${name}.ts`, exports.join(',')]] : [],
  )
  return keep(chunks.flatMap(filesOf), entries)
}

interface File {
  readonly path: string
  readonly contents: string
}

/** A chunk and its source map: only of what has sources here, since a process reads each map of what it loads. */
function filesOf({ fileName, code, map, moduleIds }: OutputChunk): File[] {
  const isOurs = moduleIds.some(id => id.startsWith(root) && !id.includes('node_modules'))
  if (isOurs && map)
    return [
      { path: fileName, contents: code },
      { path: `${fileName}.map`, contents: map.toString() },
    ]
  return [{ path: fileName, contents: code.replace(/^\/\/# sourceMappingURL=.*$/m, '') }]
}

/** Writes the files into a folder that their content names: whole or not at all, and not again. */
function keep(files: readonly File[], entries: readonly Entry[]): string {
  const hash = createHash('sha256').update(hookOf(entries))
  for (const { path, contents } of files) hash.update(path).update(contents)
  const folder = join(KEPT, hash.digest('hex').slice(0, 16))
  const hook = join(folder, 'hook.cjs')
  if (existsSync(hook)) {
    // It is in use, so it is not old.
    utimesSync(folder, new Date(), new Date())
    return hook
  }
  mkdirSync(KEPT, { recursive: true })
  for (const old of readdirSync(KEPT)) removeOld(join(KEPT, old))
  const made = mkdtempSync(join(KEPT, 'new-'))
  for (const { path, contents } of files) {
    const file = join(made, path)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, contents)
  }
  writeFileSync(join(made, 'hook.cjs'), hookOf(entries))
  moveOnce(made, folder)
  return hook
}

/** Another run may have made the same folder meanwhile. */
function moveOnce(made: string, folder: string): void {
  try {
    renameSync(made, folder)
  } catch (error) {
    rmSync(made, { recursive: true, force: true })
    if (!existsSync(folder)) throw error
  }
}

function removeOld(folder: string): void {
  if (Date.now() - statSync(folder).mtimeMs > DAY_MS) rmSync(folder, { recursive: true, force: true })
}

/** Makes a process or a thread load each entry from the bundle. The entries keep their URLs. */
function hookOf(entries: readonly Entry[]): string {
  return `// Vitest loads what it tests by itself; the threads that it starts load as processes do.
if (!/node_modules.vitest./.test(process.argv[1]) || !require('node:worker_threads').isMainThread) {
  const root = ${JSON.stringify(pathToFileURL(root).href)}
  const bundle = ${JSON.stringify(pathToFileURL(KEPT).href)} + '/' + require('node:path').basename(__dirname) + '/'
  const entries = new Map(${JSON.stringify(entries)})
  require('node:module').registerHooks({
    load(url, context, next) {
      const names = url.startsWith(root) ? entries.get(url.slice(root.length)) : undefined
      if (names === undefined) return next(url, context)
      const from = JSON.stringify(bundle + url.slice(root.length, -2) + 'mjs')
      const source = 'export {' + names + '} from ' + from + ';import ' + from
      return { format: 'module', source, shortCircuit: true }
    },
  })
}
`
}
