/**
 * Reads the metadata of a request, and checks that its headers agree. Revision 2026-07-28 repeats parts of the body in
 * headers, so that proxies can route by them; a request whose headers and body differ is refused. Earlier revisions
 * begin with `initialize`.
 */

import { fieldsOf, isObject } from '../../util/fields.ts'
import { newId } from '../../util/new-id.ts'
import { type HttpRequest, header } from '../message.ts'
import { CODES, type Members, type Message, RpcError } from './json-rpc.ts'
import { type Asks, LEGACY, type McpRequest, MODERN } from './request.ts'
import { declaresTasks, missingTasks } from './tool-calls.ts'

const VERSION = 'io.modelcontextprotocol/protocolVersion'
const CAPABILITIES = 'io.modelcontextprotocol/clientCapabilities'
const SESSION = 'Mcp-Session-Id'
/** The prefix of the session ids of clients that accept questions. */
const ASKS = /^asks(-form)?(-model)?-/
/** The parameter that `Mcp-Name` repeats. */
const NAMED_BY: Readonly<Record<string, string>> = {
  'tools/call': 'name',
  'prompts/get': 'name',
  'resources/read': 'uri',
  'tasks/get': 'taskId',
  'tasks/update': 'taskId',
  'tasks/cancel': 'taskId',
}

/**
 * Reads the metadata of a request.
 *
 * @throws {RpcError} for a member of `_meta` that is missing, headers that differ from the body, and an unknown revision
 */
export function readRequest(message: Message & { readonly kind: 'request' }, http: HttpRequest): McpRequest {
  const { id, method, params } = message
  const meta = fieldsOf(params._meta)
  const isModern = isOfModernEra(meta, http)
  if (isModern) checkModern(message, meta, http)
  const knowsTasks = isModern && declaresTasks(meta[CAPABILITIES])
  if (method.startsWith('tasks/') && isModern && method in NAMED_BY && !knowsTasks) throw missingTasks()
  const asks = isModern ? asksOf(meta[CAPABILITIES]) : asksOfSession(header(http, SESSION) ?? '')
  return { id, method, params, meta, isModern, knowsTasks, asks, http }
}

/**
 * The session id of a client of an earlier revision. Such a client states its capabilities only at the beginning. The
 * id contains them, so each request repeats them, and no process has to remember them.
 */
export function sessionOf(params: Members): Readonly<Record<string, string>> {
  const { form, model } = asksOf(params.capabilities)
  const asks = form || model ? `asks${form ? '-form' : ''}${model ? '-model' : ''}-` : ''
  return { [SESSION]: asks + newId() }
}

/** A session id as {@link sessionOf} writes it; its UUID begins with the time in milliseconds. */
const SESSION_ID =
  /^(?:asks(?:-form)?(?:-model)?-)?(([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12})$/
/** How far the clock of the process that made an id may be ahead. */
const CLOCK_SLACK_MS = 3_600_000

/**
 * The UUID in the session id of a request, which becomes the id of an operation. Operations are in the order of their
 * ids: one that the client has invented, with a time ahead, would stay before all others.
 */
export function sessionId(http: Pick<HttpRequest, 'headers'>): string | undefined {
  const [, id, high = '', low = ''] = SESSION_ID.exec(header(http, SESSION) ?? '') ?? []
  return Number.parseInt(high + low, 16) <= Date.now() + CLOCK_SLACK_MS ? id : undefined
}

function asksOfSession(session: string): Asks {
  const [, form, model] = ASKS.exec(session) ?? []
  return { form: form !== undefined, model: model !== undefined }
}

/** What a client can be asked for. An empty `elicitation` means that it can show forms. */
function asksOf(capabilities: unknown): Asks {
  const { elicitation, sampling } = fieldsOf(capabilities)
  const form = isObject(elicitation) && ('form' in elicitation || Object.keys(elicitation).length === 0)
  return { form, model: isObject(sampling) }
}

/** A request without the header counts as one of the first revision that had this transport. */
function isOfModernEra(meta: Members, http: HttpRequest): boolean {
  const version = header(http, 'MCP-Protocol-Version')
  return meta[VERSION] !== undefined || (version !== undefined && !LEGACY.includes(version.trim()))
}

function checkModern({ method, params }: { method: string; params: Members }, meta: Members, http: HttpRequest): void {
  const version = meta[VERSION]
  if (typeof version !== 'string' || !isObject(meta[CAPABILITIES])) {
    const missing = typeof version === 'string' ? CAPABILITIES : VERSION
    throw new RpcError(CODES.invalidParams, `"params._meta" must have "${missing}".`, { status: 400 })
  }
  checkHeader(http, 'MCP-Protocol-Version', version)
  if (version !== MODERN) {
    const data = { supported: [MODERN], requested: version }
    throw new RpcError(CODES.unsupportedVersion, `Unsupported protocol version: ${version}`, { data, status: 400 })
  }
  checkHeader(http, 'Mcp-Method', method)
  const name = params[NAMED_BY[method] ?? '']
  if (typeof name === 'string') checkHeader(http, 'Mcp-Name', name)
}

function checkHeader(http: HttpRequest, name: string, expected: string): void {
  const value = header(http, name)?.trim()
  if (value !== undefined && decode(value) === expected) return
  const message =
    value === undefined ? `The header ${name} is missing.` : `The header ${name} differs from the body of the request.`
  throw new RpcError(CODES.headerMismatch, message, { status: 400 })
}

/** Values that a header cannot hold unchanged are sent in Base64. */
function decode(value: string): string {
  const [, encoded] = /^=\?base64\?([A-Za-z0-9+/]*={0,2})\?=$/.exec(value) ?? []
  return encoded === undefined ? value : Buffer.from(encoded, 'base64').toString('utf8')
}
