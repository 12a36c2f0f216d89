/** Reads the answers of any API that accepts work with 202: finds the status, and interprets it. */
import { fieldsOf } from '../../util/fields.ts'
import type { Exchange } from './exchange.ts'

/** What an answer says about an operation. `unclear`: nothing. */
export type State = 'pending' | 'completed' | 'failed' | 'canceled' | 'unclear'

/** The status URL of an operation, and its source, such as `Location`. */
export interface Pointer {
  readonly url: string
  readonly by: string
}

/** The user's options for finding the status URL. */
export interface PointerOptions {
  /** A URL with members of the body in braces, such as `/v1/{name}`. */
  readonly template?: string | undefined
  /** The header to follow. */
  readonly via?: string | undefined
}

const POINTERS = ['operation-location', 'azure-asyncoperation', 'location', 'content-location']
const BODY_POINTERS = ['statusQueryGetUri', 'status_url', 'statusUrl', 'links.status', 'urls.get', '_links.status.href']

/** Finds the status URL in the answer to a POST. Undefined if nothing names one. */
export function pointerOf(accepted: Exchange, { template, via }: PointerOptions): Pointer | undefined {
  if (template !== undefined) return { url: resolve(fill(template, accepted.json), accepted), by: 'the body' }
  const headers = POINTERS.filter(name => accepted.headers.has(name) && (via === undefined || via === name))
  const [first] = headers.includes('location') && isStatusOfBody(accepted) ? ['location'] : headers
  if (first !== undefined) return { url: resolve(accepted.headers.get(first) ?? '', accepted), by: titleCase(first) }
  const [path] = BODY_POINTERS.filter(path => typeof memberAt(accepted.json, path) === 'string')
  return path === undefined
    ? undefined
    : { url: resolve(String(memberAt(accepted.json, path)), accepted), by: 'the body' }
}

/** If an answer has both `Location` and `Operation-Location`, the body says which one is the status. */
function isStatusOfBody({ headers, json }: Exchange): boolean {
  return memberAt(json, 'links.status') === headers.get('location')
}

function fill(template: string, json: unknown): string {
  return template.replaceAll(/\{([^}]+)\}/g, (_, path: string) => String(memberAt(json, path) ?? ''))
}

/** The member at a path such as `links.status`. */
export function memberAt(json: unknown, path: string): unknown {
  return path.split('.').reduce<unknown>((at, name) => fieldsOf(at)[name], json)
}

/** Makes a URL of an answer absolute. */
export function resolve(url: string, { url: base }: Exchange): string {
  return URL.parse(url, base)?.href ?? base
}

/** `Operation-Location` for `operation-location`. */
export function titleCase(name: string): string {
  return name.replaceAll(/(^|-)[a-z]/g, part => part.toUpperCase())
}

const WORDS: Readonly<Record<Exclude<State, 'unclear'>, readonly string[]>> = {
  pending: [
    ...['pending', 'running', 'notstarted', 'inprogress', 'queued', 'accepted', 'started', 'starting', 'waiting'],
    ...['processing', 'created', 'new', 'validating', 'submitted', 'scheduled', 'active', 'updating', 'canceling'],
    ...['cancelling', 'suspended', 'continuedasnew', 'inqueue', 'working', 'retrying'],
  ],
  completed: ['completed', 'succeeded', 'success', 'successful', 'done', 'complete', 'finished', 'ready', 'ok'],
  failed: ['failed', 'error', 'failure', 'errored', 'aborted', 'expired', 'timedout'],
  canceled: ['canceled', 'cancelled', 'terminated', 'dismissed', 'stopped'],
}

const STATUS_MEMBERS = ['status', 'state', 'runtimeStatus', 'properties.provisioningState', 'data.attributes.status']

/** The word for the status in a body; undefined if there is none. */
export function statusWord(json: unknown): string | undefined {
  const words = STATUS_MEMBERS.map(path => memberAt(json, path))
  return words.find(word => typeof word === 'string')
}

/** What a word for the status means. A word that is not known is `unclear`. */
export function stateOfWord(word: string): State {
  const plain = word.toLowerCase().replaceAll(/[^a-z]/g, '')
  const found = Object.entries(WORDS).find(([, words]) => words.includes(plain))
  return (found?.[0] as State | undefined) ?? 'unclear'
}

/**
 * What an answer of the status URL says.
 *
 * @param pendingIs202 an earlier answer was a 202, so that any other one is the end
 */
export function stateOf(answer: Exchange, pendingIs202: boolean): State {
  const { status, headers, json } = answer
  if (status === 202) return 'pending'
  if (status >= 300 && status < 400) return headers.has('location') ? 'completed' : 'unclear'
  const byBody = stateOfBody(json)
  if (status >= 400) return byBody === 'failed' || byBody === 'canceled' ? byBody : 'unclear'
  if (pendingIs202) return byBody === 'pending' ? 'completed' : known(byBody)
  if (byBody !== 'unclear') return byBody
  // Clients treat an unknown status as not finished.
  return headers.has('retry-after') || statusWord(json) !== undefined ? 'pending' : 'completed'
}

function known(state: State): State {
  return state === 'unclear' ? 'completed' : state
}

function stateOfBody(json: unknown): State {
  const { done, error } = fieldsOf(json)
  if (typeof done === 'boolean') return done ? doneAs(error) : 'pending'
  const word = statusWord(json)
  return word === undefined ? 'unclear' : stateOfWord(word)
}

/** google.rpc.Code 1 is CANCELLED. */
function doneAs(error: unknown): State {
  if (error === undefined || error === null) return 'completed'
  return fieldsOf(error).code === 1 ? 'canceled' : 'failed'
}

/** A redirect means that the operation has ended; the result says how. */
export function stateByResult(state: State, result: Exchange | undefined): State {
  if (state !== 'completed' || result === undefined || result.status < 400 || result.status === 404) return state
  const said = stateOfBody(result.json)
  if (said === 'failed' || said === 'canceled') return said
  return result.status === 410 ? 'canceled' : 'failed'
}

/** The URL of the result, if the final status does not contain the result. */
export function resultUrlOf(final: Exchange): string | undefined {
  const { status, headers, json } = final
  const location = headers.get('location')
  if (status >= 300 && status < 400) return location === null ? undefined : resolve(location, final)
  const paths = ['resourceLocation', 'resultUrl', 'result_url', 'links.result', '_links.result.href']
  const path = paths.find(it => typeof memberAt(json, it) === 'string')
  return path === undefined ? undefined : resolve(String(memberAt(json, path)), final)
}

/** The seconds of `Retry-After`; undefined if there is none, NaN if it is neither seconds nor a date. */
export function retryAfterOf({ headers }: Exchange): number | undefined {
  const value = headers.get('retry-after')
  if (value === null) return undefined
  if (/^\d+$/.test(value)) return Number(value)
  return Math.max(0, (Date.parse(value) - Date.parse(headers.get('date') ?? new Date().toUTCString())) / 1000)
}

const UUID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/gi

/** A URL like the status URL, of an operation that does not exist. */
export function unknownUrl(statusUrl: string): string {
  const { origin } = new URL(statusUrl)
  const rest = statusUrl.slice(origin.length)
  const query = rest.includes('?') ? rest.indexOf('?') : rest.length
  const words = [...rest.matchAll(/[\w-]+/g)]
  const inPath = words.filter(({ index }) => index < query)
  const hasDigit = ({ 0: word }: RegExpExecArray) => /\d/.test(word)
  const id = [...rest.matchAll(UUID)].at(-1) ?? inPath.findLast(hasDigit) ?? words.findLast(hasDigit) ?? inPath.at(-1)
  if (id === undefined) return statusUrl
  return origin + rest.slice(0, id.index) + changed(id[0]) + rest.slice(id.index + id[0].length)
}

/**
 * The same string with other characters of the same kinds at its end. A short string is extended, so that no operation
 * has it.
 */
function changed(id: string): string {
  const long = id.length < 6 ? id.padEnd(9, /^\d+$/.test(id) ? '7' : 'z') : id
  return long.slice(0, -3) + [...long.slice(-3)].map(nextOf).join('')
}

function nextOf(char: string): string {
  if (/\d/.test(char)) return String((Number(char) + 5) % 10)
  if (/\W/.test(char)) return char
  return char.toLowerCase() === 'a' ? 'b' : 'a'
}
