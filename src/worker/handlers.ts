/** Where handlers come from: given as values, or as files whose default export they are. */
import { existsSync } from 'node:fs'
import { isAbsolute, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Handler } from '../model/handler.ts'
import { TimeLimit } from '../util/time-limit.ts'

/** One handler or several. */
export type Handlers = Handler | readonly Handler[]

/**
 * Indexes handlers by the name of their operation type.
 *
 * @throws {TypeError} when something is not a handler, or two serve one type
 */
export function handlersByType(handlers: Handlers): ReadonlyMap<string, Handler> {
  const byType = new Map<string, Handler>()
  for (const handler of [handlers].flat()) {
    if (!isHandler(handler)) {
      throw new TypeError('A handler must be made by handler(operationType, async (input, job) => output).')
    }
    if (byType.has(handler.type.name)) {
      throw new TypeError(`Two handlers serve the operation type "${handler.type.name}"; each type takes one.`)
    }
    byType.set(handler.type.name, handler)
  }
  return byType
}

/**
 * Loads handler files.
 *
 * @param files URLs, or paths that are taken from the working directory
 * @param timeoutMs how long they may take, in milliseconds; default: without a limit
 * @throws when a file cannot be loaded, or its default export is not a handler
 */
export async function loadHandlers(
  files: readonly string[],
  timeoutMs?: number,
): Promise<ReadonlyMap<string, Handler>> {
  const loading = load(files)
  return timeoutMs === undefined
    ? await loading
    : await new TimeLimit(timeoutMs, lateHandlers(files, timeoutMs)).within(loading)
}

/** What is wrong with handler files that have not loaded in time. */
export function lateHandlers(files: readonly string[], timeoutMs: number): string {
  const cure = 'If they need longer, set worker.startTimeout.'
  return `The handlers did not load within ${timeoutMs / 1000} s (${files.join(', ')}). ${cure}`
}

async function load(files: readonly string[]): Promise<ReadonlyMap<string, Handler>> {
  const loaded: Handler[] = []
  for (const file of files) {
    const exported = defaultExport((await import(fileUrl(file))) as Module)
    if (exported === undefined) {
      throw new TypeError(`The handler file ${file} has no default export: export default handler(…).`)
    }
    loaded.push(...[exported].flat())
  }
  return handlersByType(loaded)
}

interface Module {
  readonly default?: Handlers | { readonly __esModule?: unknown; readonly default?: Handlers }
}

/**
 * Compilers to CommonJS write `export default` as the property `default` of `module.exports`, and mark it with
 * `__esModule`.
 */
function defaultExport({ default: exported }: Module): Handlers | undefined {
  const isCompiled = typeof exported === 'object' && '__esModule' in exported && exported.__esModule === true
  return (isCompiled ? exported.default : exported) as Handlers | undefined
}

/**
 * The URL of a file that is named by a URL or a path. A compiled program may still name its `.ts` files: if such a file
 * is missing, the `.js` or `.mjs` beside it is used.
 */
export function fileUrl(file: string | URL): string {
  const text = String(file)
  const isUrl = /^[a-z][a-z0-9+.-]+:/i.test(text) && !isAbsolute(text)
  const url = isUrl ? text : pathToFileURL(resolve(text)).href
  const [, base, kind = ''] = /^(file:[^?#]*\.)([cm]?)ts$/.exec(url) ?? []
  if (base === undefined || existsSync(new URL(url))) return url
  const compiled = [`${base}${kind}js`, `${base}mjs`].find(candidate => existsSync(new URL(candidate)))
  return compiled ?? url
}

function isHandler(value: unknown): value is Handler {
  if (typeof value !== 'object' || value === null) return false
  const { type, run } = value as Partial<Handler>
  return typeof run === 'function' && typeof type?.name === 'string'
}
