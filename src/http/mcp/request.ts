/** A parsed request of MCP, as every method gets it. */
import type { HttpRequest } from '../message.ts'
import type { Members, RequestId } from './json-rpc.ts'

/** The extension of MCP for calls that become tasks. */
export const TASKS = 'io.modelcontextprotocol/tasks'

/** The revision without sessions, and with the extension for tasks. */
export const MODERN = '2026-07-28'

/** The revisions that begin with `initialize`, newest first. */
export const LEGACY: readonly string[] = ['2025-11-25', '2025-06-18', '2025-03-26']

/** What the handler of an operation can ask the client for. */
export interface Asks {
  /** Whether it shows a form to a person. */
  readonly form: boolean
  /** Whether it has a model that answers prompts. */
  readonly model: boolean
}

export interface McpRequest {
  readonly id: RequestId
  readonly method: string
  readonly params: Members
  /** `params._meta` */
  readonly meta: Members
  /** Whether the client uses the revision without sessions. */
  readonly isModern: boolean
  /** Whether the client knows tasks. */
  readonly knowsTasks: boolean
  readonly asks: Asks
  readonly http: HttpRequest
}

/** A message on a stream before the result; undefined for a heartbeat. */
type Interim = Members | undefined

/** The messages of a stream, which ends with the result. */
export type ReplyStream = AsyncGenerator<Interim, Members>

/** The result of a request, or a stream that ends with it. */
export type Reply = Members | ReplyStream

/** Whether a reply is a stream. */
export function isStream(reply: Reply): reply is ReplyStream {
  return Symbol.asyncIterator in reply
}

/** The longest time between two messages of a stream, in milliseconds, so that proxies keep it open. */
export const HEARTBEAT_MS = 15_000
