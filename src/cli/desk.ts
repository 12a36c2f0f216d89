/** Opens the service for operators' commands: on a store, or on the admin API of a base URL. */
import { userInfo } from 'node:os'
import { storeFromUrl } from '../from-url/store-from-url.ts'
import { type AnyOperationType, defineOperation } from '../model/operation-type.ts'
import type { Operator, PageRequest } from '../operator/operator.ts'
import type { Actor } from '../operator/views.ts'
import type { OperatorFilter, OperatorStore } from '../stores/store.ts'
import { createWaybill } from '../waybill.ts'
import { fileUrl, loadHandlers } from '../worker/handlers.ts'
import { type ParsedArgs, STORE_OPTION, UsageError } from './command.ts'
import { namedBlobs } from './open.ts'
import { RemoteOperator } from './remote-operator.ts'

/** The part of the operator's service that the commands use. */
export type Desk = Pick<
  Operator,
  | ('browse' | 'get' | 'input' | 'output' | 'log' | 'cancel' | 'retry' | 'delete' | 'sendEvent')
  | ('replay' | 'pause' | 'resume' | 'preview' | 'bulk' | 'bulkRun' | 'statistics' | 'audit')
>

/** The options that say where operations are. */
export const DESK_OPTIONS = {
  ...STORE_OPTION,
  url: {
    value: 'URL',
    help: 'base URL of an API with the option "admin", instead of a store (default: WAYBILL_URL)',
  },
  header: {
    value: 'NAME:VALUE',
    multiple: true,
    help: 'with --url: header of every request, such as "Authorization: Bearer …"',
  },
} as const

/** What a command needs with a store, which knows no types and runs no operations by itself. */
interface DeskNeeds {
  /** The names of types, in addition to those of the handler files. */
  readonly named?: readonly string[]
  /** Whether acts on the store are also done in this process. */
  readonly works?: boolean
}

/** Opens the desk for as long as the work takes. */
export async function withDesk<T>(
  given: ParsedArgs,
  work: (desk: Desk) => Promise<T>,
  { named = [], works = false }: DeskNeeds = {},
): Promise<T> {
  const base = baseUrl(given)
  if (base !== undefined) return await work(new RemoteOperator(base, headersOf(given)))
  const blobs = await namedBlobs(given)
  const store = await storeFromUrl(given.storeUrl(), { existing: true, ...blobs })
  const types = await typesOf(given)
  const missing = named.filter(name => types.every(type => type.name !== name))
  const operations = [...types, ...missing.map(name => defineOperation({ name }))]
  const waybill = createWaybill({ operations, store, ...blobs })
  try {
    await (works ? waybill.start() : waybill.store.open({ brief: true }))
    return await work(waybill.operator)
  } finally {
    await waybill.stop()
  }
}

/** The types of the given handler files, since a store does not know them. */
export async function typesOf(given: ParsedArgs): Promise<readonly AnyOperationType[]> {
  const handlers = await loadHandlers(given.texts('handlers').map(fileUrl))
  return [...handlers.values()].map(({ type }) => type)
}

/** The base URL of the option or of `WAYBILL_URL`, unless a store is named. */
export function baseUrl(given: ParsedArgs): string | undefined {
  const url = given.text('url') ?? (given.text('store') === undefined ? process.env.WAYBILL_URL : undefined)
  if (!url) return undefined
  if (/^https?:$/.test(URL.parse(url)?.protocol ?? '')) return url
  throw new UsageError(`--url must be the base URL of an API, such as http://127.0.0.1:3000, not "${url}".`)
}

/** The headers of `--header`. */
export function headersOf(given: ParsedArgs): Record<string, string> {
  return Object.fromEntries(given.texts('header').map(readHeader))
}

function readHeader(text: string): [name: string, value: string] {
  const [, name, value] = /^([\w-]+)\s*:\s*(.*)$/.exec(text) ?? []
  if (name === undefined || value === undefined) {
    throw new UsageError(`--header must be a name and a value, such as "Authorization: Bearer …", not "${text}".`)
  }
  return [name, value]
}

/** The name of the actor on a store, for the audit. */
export function actor(): Actor {
  try {
    return { name: userInfo().username }
  } catch {
    // A container may run as a user who has no name.
    return { name: 'cli' }
  }
}

/** A source of operations: a desk or a store. */
export interface Browsing {
  browse(filter: OperatorFilter, page: PageRequest): Promise<{ readonly items: readonly { readonly id: string }[] }>
}

/** The operations of a store, for {@link findId}. */
export function browsing(store: OperatorStore): Browsing {
  return {
    browse: async (filter, { after, limit = MAX_FOUND }) => ({
      items: (await store.browse({ ...filter, after, limit })).operations,
    }),
  }
}

const ID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
const LAST_ID = 'ffffffff-ffff-ffff-ffff-ffffffffffff'
const MIN_LENGTH = 4
const MAX_FOUND = 500

/**
 * Finds the operation whose id begins or ends with some characters. Ids from about the same time begin alike, but their
 * ends differ. A beginning is searched among all operations, an end among the newest 10,000.
 *
 * @throws {UsageError} if no id matches, or several do
 */
export async function findId(desk: Browsing, text: string): Promise<string> {
  if (ID.test(text)) return text
  if (text.length < MIN_LENGTH || !/^[0-9a-f-]+$/.test(text)) {
    throw new UsageError(
      `"${text}" is not an id: give one, or at least ${MIN_LENGTH} characters of its beginning or end.`,
    )
  }
  const found = new Set([...(await findByBeginning(desk, text)), ...(await findByEnd(desk, text))])
  const [id] = found
  if (id === undefined) throw new Error(`No operation has an id that begins or ends with "${text}".`)
  if (found.size === 1) return id
  throw new UsageError(`Several ids begin or end with "${text}", such as ${[...found].slice(0, 3).join(' and ')}.`)
}

async function findByBeginning(desk: Browsing, text: string): Promise<string[]> {
  const after = text + LAST_ID.slice(text.length)
  const { items } = await desk.browse({}, { limit: 2, ...(ID.test(after) && { after }) })
  return items.map(({ id }) => id).filter(id => id.startsWith(text))
}

async function findByEnd(desk: Browsing, text: string): Promise<string[]> {
  const { items } = await desk.browse({ search: text }, { limit: MAX_FOUND })
  return items.map(({ id }) => id).filter(id => id.endsWith(text))
}
