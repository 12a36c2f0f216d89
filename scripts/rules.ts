import { readFileSync } from 'node:fs'
import { posix } from 'node:path'
import type { Import, SourceFile } from './source.ts'
import { root } from './tools.ts'

/** One rule about what a file of src may import, and why. */
export interface ImportRule {
  readonly rule: string
  readonly reason: string
  /** The files it is about, by their path in src. */
  readonly of: RegExp
  /** Whether this import breaks it. */
  readonly breaks: (it: Import) => boolean
}

const { dependencies, peerDependencies } = JSON.parse(readFileSync(`${root}package.json`, 'utf8')) as {
  dependencies: Record<string, string>
  peerDependencies: Record<string, string>
}

const DECLARED = new Set([...Object.keys(dependencies), ...Object.keys(peerDependencies)])
const VENDORS = /^(fastify|pg|@azure\/.+|@kubernetes\/.+)$/
const OPENS_VENDORS = /^(cli|from-url)\//

/**
 * The rooms of src, floor by floor from the ground. A room imports itself and the floors below it; never a neighbour on its
 * floor, and never what is above.
 */
export const FLOORS: readonly (readonly string[])[] = [
  ['util'],
  ['model'],
  ['observability', 'blobs', 'openapi', 'client', 'emulators', 'index.ts'],
  ['stores'],
  ['service', 'worker', 'launchers'],
  ['webhooks', 'schedules', 'batches'],
  ['operator'],
  ['waybill.ts'],
  ['http', 'from-url', 'server.ts'],
  ['servers', 'adapters', 'testing'],
  ['cli'],
]

/** Every rule, checked for every import: also those of types alone, unless the rule lets these through. */
export const IMPORT_RULES: readonly ImportRule[] = [
  {
    rule: 'a room imports only rooms on lower floors',
    reason: `a room is read and tested with what is below it alone; from the ground: ${FLOORS.map(it => it.join(' ')).join(' < ')}`,
    of: /^/,
    breaks: ({ file, target }) => isSource(target) && room(file) !== room(target) && floor(target) >= floor(file),
  },
  {
    rule: 'protocol imports nothing',
    reason: 'it is what client and server share, so each thing it imports would weigh on the browser too',
    of: /^model\/protocol\.ts$/,
    breaks: () => true,
  },
  {
    rule: 'problem imports only its kinds, protocol and duration, and what util has for plain values',
    reason: 'it is a leaf: a table that the server, its stores and the state machine share',
    of: /^model\/problem(-kinds)?\.ts$/,
    breaks: ({ target }) =>
      !/^model\/(problem-kinds|protocol|duration)\.ts$|^util\/(brand|plain-json)\.ts$/.test(target),
  },
  {
    rule: 'the record and the state machine import only protocol, problem, submission, waits and deadlines',
    reason: 'the state machine is pure: it is read and tested without a store, a clock or a server',
    of: /^model\/(deadlines|operation|state-machine)\.ts$/,
    breaks: ({ target }) => !/^model\/(deadlines|operation|protocol|problem|submission|waits)\.ts$/.test(target),
  },
  {
    rule: 'client imports protocol alone (and the types of operation-type and web-types)',
    reason:
      'it runs in browsers as well as in Node, has no dependencies, and its size is a promise; types weigh nothing',
    of: /^client\//,
    breaks: ({ target, typeOnly }) =>
      target !== 'model/protocol.ts' &&
      !target.startsWith('client/') &&
      !(['model/operation-type.ts', 'model/web-types.ts'].includes(target) && typeOnly),
  },
  {
    rule: 'an adapter never imports another adapter',
    reason: 'each must be usable, testable and removable alone; what two of them share belongs in the room above them',
    of: /^/,
    breaks: ({ file, target }) =>
      [file, target].every(path => adapter(path) !== undefined) && adapter(target) !== adapter(file),
  },
  {
    rule: 'nothing of http imports a surface, such as http/mcp',
    reason: 'a surface is passed in: an API without it does not load it',
    of: /^http\/(?!mcp\/)/,
    breaks: ({ target }) => target.startsWith('http/mcp/'),
  },
  {
    rule: 'src imports nothing outside src, such as console',
    reason: 'the package ships src and its build alone: what lies beside src is a program built on it, or a tool',
    of: /^/,
    breaks: ({ target }) => target.startsWith('../') || target.startsWith('/'),
  },
  {
    rule: 'only cli and from-url name the packages of vendors (fastify.ts may import the types of fastify)',
    reason: 'users bring their own client; an adapter takes it through a small interface of what it needs',
    of: /^/,
    breaks: ({ file, target, typeOnly }) =>
      VENDORS.test(packageName(target)) &&
      !OPENS_VENDORS.test(file) &&
      !(file === 'servers/fastify.ts' && target === 'fastify' && typeOnly),
  },
  {
    rule: 'a package that is imported, even for its types, is a dependency or a peer dependency',
    reason: 'declarations ship too, so the types of a development dependency are missing where the package is used',
    of: /^/,
    breaks: ({ target }) =>
      isPackage(target) && !VENDORS.test(packageName(target)) && !DECLARED.has(packageName(target)),
  },
]

/** The longest a file may be, in lines. */
export const MAX_FILE_LINES = 449

/** The longest a function may be, in lines, the functions inside it not counted. */
export const MAX_FUNCTION_LINES = 80

/** The deepest that a statement may lie in branches, loops and `try` of its function. */
export const MAX_DEPTH = 2

/** Every broken rule about imports, names, lengths and depths, and every import cycle, as messages for people. */
export function findBroken(sources: readonly SourceFile[]): string[] {
  return [
    ...sources.flatMap(source => source.imports.flatMap(brokenBy)),
    ...findCycles(sources).map(describeCycle),
    ...findHomonyms(sources.map(it => it.file)).map(describeHomonyms),
    ...sources.flatMap(tooLong),
    ...sources.flatMap(tooDeep),
  ]
}

function brokenBy(it: Import): string[] {
  return IMPORT_RULES.filter(rule => rule.of.test(it.file) && rule.breaks(it)).map(
    ({ rule, reason }) => `src/${it.file}:${it.line} imports '${it.specifier}'\n  rule: ${rule}\n  reason: ${reason}`,
  )
}

function isSource(target: string): boolean {
  return /\.ts$/.test(target) && !target.startsWith('../')
}

/** `stores` for `stores/sqlite/sqlite.ts`; a file at the root of src is a room of its own. */
export function room(path: string): string {
  return /^[^/]+/.exec(path)?.[0] ?? path
}

/** The number of a room's floor, 0 for the ground. A room without a floor is below all, so that nobody forgets to give it one. */
function floor(path: string): number {
  return FLOORS.findIndex(rooms => rooms.includes(room(path)))
}

const ADAPTERS = /^((?:stores|blobs|launchers|worker\/runners|emulators)\/[^/.]+)\/|^http\/dialects\/(?!dialect\.)[^/]+/

/** `stores/sqlite` for `stores/sqlite/schema.ts`; undefined for what the implementations of a contract share. */
function adapter(path: string): string | undefined {
  return ADAPTERS.exec(path)?.[0]
}

/**
 * Finds the names of files that stand for different things, each as the paths that have it. One name stands for one
 * thing in these cases:
 * - `index.ts` is the face of a room.
 * - `rows.ts` in two implementations of one contract is the same part of each.
 * - `azure.ts` is what a room has for that system, where the system is one that implementations are named after.
 */
export function findHomonyms(files: readonly string[]): string[][] {
  const systems = new Set(files.flatMap(file => adapter(file) ?? []).map(path => posix.basename(path, '.ts')))
  const named = Map.groupBy(files, file => posix.basename(file, '.ts'))
  return [...named]
    .filter(([name, paths]) => name !== 'index' && !systems.has(name) && new Set(paths.map(partOf)).size > 1)
    .map(([, paths]) => paths)
}

/** `stores/rows.ts` for `stores/sqlite/rows.ts`; other paths as they are. */
function partOf(path: string): string {
  const implementation = adapter(path)
  return implementation === undefined
    ? path
    : posix.join(posix.dirname(implementation), path.slice(implementation.length))
}

function describeHomonyms(paths: readonly string[]): string {
  const list = paths.map(path => `src/${path}`).join(' and ')
  return `${list} have one name\n  rule: no two files have one name for different things\n  reason: a name in an editor, a stack trace or a review leads to one thing`
}

function isPackage(target: string): boolean {
  return /^[a-z@]/.test(target) && !target.startsWith('node:') && !/\.[a-z]+$/.test(target)
}

/** `@azure/cosmos` for `@azure/cosmos/rest`. */
function packageName(target: string): string {
  return /^(?:@[^/]+\/)?[^/]+/.exec(target)?.[0] ?? target
}

function tooLong({ file, lines, functions }: SourceFile): string[] {
  const long = functions
    .filter(it => it.lines > MAX_FUNCTION_LINES)
    .map(it => `src/${file}:${it.line} ${it.name} has ${it.lines} lines; the most is ${MAX_FUNCTION_LINES}`)
  if (lines > MAX_FILE_LINES) long.push(`src/${file} has ${lines} lines; the most is ${MAX_FILE_LINES}`)
  return long
}

function tooDeep({ file, functions }: SourceFile): string[] {
  return functions
    .filter(it => it.depth > MAX_DEPTH)
    .map(it => `src/${file}:${it.line} ${it.name} is ${it.depth} levels deep; the most is ${MAX_DEPTH}`)
}

function describeCycle(files: readonly string[]): string {
  const path = [...files, files[0]].map(file => `src/${file}`).join(' → ')
  return `${path}\n  rule: no import cycles, imports of types included\n  reason: files in a cycle can only be read, tested and loaded together`
}

/** One cycle for each import that closes one: the files on the way, in order. */
export function findCycles(sources: readonly SourceFile[]): string[][] {
  const graph = new Map(sources.map(({ file, imports }) => [file, new Set(imports.map(it => it.target))]))
  const cycles: string[][] = []
  const done = new Set<string>()
  const visit = (file: string, path: readonly string[]): void => {
    if (path.includes(file)) cycles.push(path.slice(path.indexOf(file)))
    if (done.has(file) || path.includes(file)) return
    for (const target of graph.get(file) ?? []) visit(target, [...path, file])
    done.add(file)
  }
  for (const file of graph.keys()) visit(file, [])
  return cycles
}
