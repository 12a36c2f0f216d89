/** `waybill init`: writes a project that runs, and installs its packages. */
import { type SpawnSyncOptions, spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { createInterface } from 'node:readline/promises'
import { fileURLToPath } from 'node:url'
import { packageVersion } from '../util/version.ts'
import { type Command, JSON_OPTION, type ParsedArgs, UsageError } from './command.ts'
import { MIN_NODE_FOR_TYPESCRIPT, nodeIsAtLeast } from './node-version.ts'
import { print, printJson, span } from './output.ts'

const TEMPLATES = fileURLToPath(new URL('../../templates/', import.meta.url))

const SERVERS = ['fastify', 'express', 'hono'] as const
const STORES = ['sqlite', 'postgres'] as const
type ServerName = (typeof SERVERS)[number]
type StoreName = (typeof STORES)[number]

/** The choices for the project. */
interface Choice {
  readonly folder: string
  readonly name: string
  readonly server: ServerName
  readonly store: StoreName
  /** The package that npm installs as `waybill`. */
  readonly waybill: string
  /** The packed package that becomes a file of the project, so that an image is built from the project alone. */
  readonly packed: string | undefined
}

type Versions = Readonly<Record<string, string>>

const COMMON: Versions = { zod: '^4.0.0' }
const COMMON_DEV: Versions = { '@types/node': '^24.0.0', typescript: '^7.0.0' }

const PACKAGES: Readonly<Record<ServerName | StoreName, { readonly uses: Versions; readonly dev: Versions }>> = {
  fastify: { uses: { fastify: '^5.0.0' }, dev: {} },
  express: { uses: { express: '^5.0.0', pino: '^10.0.0' }, dev: { '@types/express': '^5.0.0' } },
  hono: { uses: { '@hono/node-server': '^2.0.0', hono: '^4.0.0', pino: '^10.0.0' }, dev: {} },
  sqlite: { uses: {}, dev: {} },
  postgres: { uses: { pg: '^8.0.0' }, dev: {} },
}

const STORE_URLS: Readonly<Record<StoreName, string>> = {
  sqlite: 'sqlite:./data/operations.db',
  postgres: 'postgres://postgres:postgres@127.0.0.1:5432/postgres',
}

export const init: Command = {
  name: 'init',
  operands: '[FOLDER]',
  count: { max: 1 },
  summary: 'create a project: a server, an operation, its handler, a test, a Dockerfile',
  options: {
    server: { value: 'NAME', help: `server framework: ${SERVERS.join(', ')} (default fastify)` },
    store: { value: 'NAME', help: `store: ${STORES.join(', ')} (default sqlite)` },
    yes: { help: 'use the defaults instead of asking' },
    'no-install': { help: 'do not install the packages' },
    package: {
      value: 'SPEC',
      help: 'what to install as waybill, such as ../waybill-0.1.0.tgz (default: this version)',
    },
    ...JSON_OPTION,
  },
  examples: [
    'npm create waybill@latest my-api',
    'waybill init my-api --server hono --store postgres',
    'waybill init . --yes --no-install',
  ],
  run: runInit,
}

async function runInit(given: ParsedArgs): Promise<number> {
  const started = performance.now()
  const choice = await choose(given)
  const files = filesOf(choice)
  const { packed } = choice
  const copy = packed && join(choice.folder, basename(packed))
  const taken = Object.keys(files).filter(file => existsSync(join(choice.folder, file)))
  if (copy !== undefined && copy !== packed && existsSync(copy)) taken.push(basename(copy))
  if (taken.length > 0) throw new UsageError(`${choice.folder} has ${taken.join(', ')} already: name a new folder.`)
  for (const [file, text] of Object.entries(files)) {
    const path = join(choice.folder, file)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, text)
  }
  if (packed !== undefined && copy !== undefined && copy !== packed) copyFileSync(packed, copy)
  const manager = packageManager()
  const isInstalled = !given.has('no-install') && install(manager, choice.folder)
  if (given.has('json')) {
    const { folder, name, server, store } = choice
    printJson({ folder, name, server, store, files: Object.keys(files).sort(), installed: isInstalled })
  } else {
    for (const line of nextSteps(choice, manager, isInstalled)) print(line)
    print(`Created in ${span(performance.now() - started)}.`)
  }
  return given.has('no-install') || isInstalled ? 0 : 1
}

async function choose(given: ParsedArgs): Promise<Choice> {
  const [operand] = given.operands
  const [server, store] = [given.oneOf('server', SERVERS), given.oneOf('store', STORES)]
  const isSilent = given.has('yes') || given.has('json')
  const isAsking = process.stdin.isTTY === true && process.stdout.isTTY === true && !isSilent
  const asked = isAsking ? await askAll({ operand, server, store }) : {}
  const folder = resolve(operand ?? asked.folder ?? 'my-api')
  return {
    folder,
    name: packageName(basename(folder)),
    server: server ?? asked.server ?? 'fastify',
    store: store ?? asked.store ?? 'sqlite',
    ...packageOf(given.text('package') ?? `^${packageVersion()}`),
  }
}

/** A path is relative to the working directory, not to the new project. */
function packageOf(spec: string): Pick<Choice, 'waybill' | 'packed'> {
  const found = statSync(spec, { throwIfNoEntry: false })
  if (found?.isFile()) return { waybill: `file:${basename(spec)}`, packed: resolve(spec) }
  return { waybill: found === undefined ? spec : `file:${resolve(spec)}`, packed: undefined }
}

/** Asks for the choices that were not given. */
async function askAll(given: {
  readonly operand: string | undefined
  readonly server: ServerName | undefined
  readonly store: StoreName | undefined
}): Promise<{ folder?: string; server?: ServerName; store?: StoreName }> {
  const lines = createInterface({ input: process.stdin, output: process.stdout })
  try {
    const folder = given.operand ?? ((await lines.question('Folder (my-api): ')).trim() || 'my-api')
    const one = async <Name extends string>(what: string, names: readonly Name[]): Promise<Name | undefined> => {
      const answer = (await lines.question(`${what}: ${names.join(', ')} (${names[0]}): `)).trim().toLowerCase()
      return names.find(name => answer !== '' && name.startsWith(answer)) ?? names[0]
    }
    const server = given.server ?? (await one('Server', SERVERS))
    const store = given.store ?? (await one('Store', STORES))
    return { folder, ...(server && { server }), ...(store && { store }) }
  } finally {
    lines.close()
  }
}

/** A name that npm accepts. */
function packageName(folder: string): string {
  const name = folder
    .toLowerCase()
    .replaceAll(/[^a-z0-9._-]+/g, '-')
    .replaceAll(/^[._-]+|-+$/g, '')
  return name === '' ? 'my-api' : name
}

/** The files of the project, by their paths in it. */
function filesOf(choice: Choice): Record<string, string> {
  const { name, server, store } = choice
  const words = { name, store: STORE_URLS[store], start: startOf(store), image: imageOf(choice) }
  const templates = readdirSync(TEMPLATES, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => relative(TEMPLATES, join(entry.parentPath, entry.name)).replaceAll('\\', '/'))
  const texts = templates.flatMap(template => {
    const file = fileOf(template, server, store)
    return file === undefined ? [] : [[file, fill(readFileSync(join(TEMPLATES, template), 'utf8'), words)] as const]
  })
  return {
    ...Object.fromEntries(texts),
    'package.json': `${JSON.stringify(manifestOf(choice), undefined, 2)}\n`,
    '.env': `WAYBILL_STORE=${STORE_URLS[store]}\nPORT=3000\n`,
  }
}

/** Makes a file from a template; undefined if the template is for another choice. */
function fileOf(template: string, server: ServerName, store: StoreName): string | undefined {
  if (template === 'compose.yaml' && store !== 'postgres') return undefined
  // npm leaves out files whose names begin with a dot, or renames them.
  if (/^(git|docker)ignore$/.test(template)) return `.${template}`
  const [, choice] = /^src\/server\.(\w+)\.ts$/.exec(template) ?? []
  if (choice === undefined) return template
  return choice === server ? 'src/server.ts' : undefined
}

function fill(text: string, words: Readonly<Record<string, string>>): string {
  return text.replaceAll(/\{\{(\w+)\}\}/g, (_, word: string) => words[word] ?? '')
}

function startOf(store: StoreName): string {
  return store === 'postgres' ? 'docker compose up --wait # PostgreSQL\nnpm run dev' : 'npm run dev'
}

/** The commands that build and run the image. */
function imageOf({ name, store }: Choice): string {
  if (store === 'postgres') return 'docker compose --profile api up --build # with PostgreSQL'
  return `docker build -t ${name} .\ndocker run --rm -p 127.0.0.1:3000:3000 -v ${name}:/app/data ${name}`
}

function manifestOf({ name, server, store, waybill }: Choice) {
  const [first, second] = [PACKAGES[server], PACKAGES[store]]
  return {
    name,
    version: '0.1.0',
    private: true,
    type: 'module',
    engines: { node: `>=${MIN_NODE_FOR_TYPESCRIPT}` },
    scripts: {
      dev: 'waybill dev',
      start: 'node --env-file-if-exists=.env src/server.ts',
      test: 'tsc && node --test',
    },
    dependencies: sorted({ ...COMMON, waybill, ...first.uses, ...second.uses }),
    devDependencies: sorted({ ...COMMON_DEV, ...first.dev, ...second.dev }),
  }
}

function sorted(versions: Versions): Versions {
  return Object.fromEntries(Object.entries(versions).sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** The package manager that has started this command, else npm. */
function packageManager(): string {
  const [name] = (process.env.npm_config_user_agent ?? '').split('/')
  return name !== undefined && ['pnpm', 'yarn', 'bun'].includes(name) ? name : 'npm'
}

/** The version of Node in the user's shell: `npm run create` in a clone runs this command under another one. */
function shellNode(): string {
  return /\bnode\/v(\d\S*)/.exec(process.env.npm_config_user_agent ?? '')?.[1] ?? process.versions.node
}

/** Installs the packages. The output of the package manager goes to standard error. */
function install(manager: string, cwd: string): boolean {
  process.stderr.write(`Installing with ${manager} …\n`)
  const quiet = manager === 'npm' ? ['--no-audit', '--no-fund', '--loglevel=error'] : []
  const options = {
    cwd,
    stdio: ['inherit', 2, 'inherit'],
    shell: process.platform === 'win32',
  } satisfies SpawnSyncOptions
  return spawnSync(manager, ['install', ...quiet], options).status === 0
}

function nextSteps({ folder, store }: Choice, manager: string, isInstalled: boolean): string[] {
  const path = relative(process.cwd(), folder)
  const node = shellNode()
  const needed = `Node.js ${MIN_NODE_FOR_TYPESCRIPT} or newer, which runs .ts files; this is ${node}`
  const steps = [
    ...(nodeIsAtLeast(MIN_NODE_FOR_TYPESCRIPT, node) ? [] : [`install ${needed}`]),
    ...(path === '' ? [] : [`cd ${path}`]),
    ...(isInstalled ? [] : [`${manager} install`]),
    `${manager} test`,
    ...(store === 'postgres' ? ['docker compose up --wait   # PostgreSQL, or set WAYBILL_STORE in .env'] : []),
    `${manager} run dev`,
  ]
  const post = `curl -i http://127.0.0.1:3000/greetings -H 'Content-Type: application/json' -d '{"name":"Ada"}'`
  return ['', 'Next:', ...steps.map(step => `  ${step}`), '', 'In another terminal:', `  ${post}`, '']
}
