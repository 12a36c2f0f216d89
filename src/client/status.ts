import { FINAL_STATUSES, type FinalStatus, type Links, type Problem, type StatusDocument } from '../model/protocol.ts'
import type { WebRequestInit, WebResponse } from '../model/web-types.ts'

/** A status document of any server: it may have only a few of the members that ours has. */
export type PolledStatus = Partial<Omit<StatusDocument, 'status' | 'links'>> & {
  readonly links?: Partial<Links> | undefined
  readonly status?: string
  /** The URL of the result, in Azure's monitors. */
  readonly resourceLocation?: string
  readonly [member: string]: unknown
}

/** What `onStatusPoll` is called with, once for each status that is received. */
export interface StatusPoll {
  /** The response; its body can be read, and its `url` is the status URL. An event of the stream is given as one too. */
  readonly response: WebResponse
  /**
   * Seconds until the next poll, unless the server sends a status before. 0 when the operation has ended, and after a
   * poll that the server has held: the next one follows at once.
   */
  readonly retryAfter: number
  /** The status as the server names it; undefined if the response names none. */
  readonly status: string | undefined
  /** The status document; empty if the response is not a JSON object. */
  readonly document: PolledStatus
}

/** Called with each status. If it returns a promise, the wait goes on when that is fulfilled. */
export type OnStatusPoll = (poll: StatusPoll) => unknown

/** A response, whose body has been read if it is JSON. */
export interface Answer {
  /** The response as it arrived. */
  readonly response: WebResponse
  /** A response whose body can be read, once. */
  readonly copy: () => WebResponse
  /**
   * The value if the response is the result: the JSON value, undefined for an empty body and for 204, else the
   * response.
   */
  readonly value: unknown
  /** The JSON; undefined if the body is not JSON. */
  readonly text: string | undefined
  /** The members of the JSON value; none if it is not an object. */
  readonly body: PolledStatus
  /** The final status that the server's name for it means; undefined if the status is not final. */
  readonly outcome: FinalStatus | undefined
}

/**
 * Reads a response.
 *
 * @param text the JSON of its body, if that is known. Else the body is read if its media type is JSON
 */
export async function readAnswer(response: WebResponse, text?: string): Promise<Answer> {
  if (/[/+]json\b/i.test(`${response.headers.get('content-type')}`)) text ??= await response.text()
  const isRead = text !== undefined
  const value: unknown = text ? JSON.parse(text) : isRead || response.status === 204 ? undefined : response
  const body: PolledStatus = Object(isRead ? value : {})
  const word = `${body.status}`.toLowerCase().replace('succeed', 'complet').replace('cancell', 'cancel')
  const outcome = FINAL_STATUSES.find(status => status === word)
  const copy = () => (isRead ? makeResponse(response, text) : response)
  return { response, copy, value, text, body, outcome }
}

/** What a response is created from, besides its body. */
interface ResponseParts {
  readonly url: string
  readonly status?: number
  readonly statusText?: string
  readonly headers: NonNullable<WebRequestInit['headers']>
}

/** Creates a readable copy of a response, including its URL. */
export function makeResponse(like: ResponseParts, text?: string): WebResponse {
  return Object.defineProperty(new Response(text || null, like), 'url', { value: like.url })
}

/**
 * The problem that an answer describes: the answer is a problem itself, or an operation with an `error`, or has Azure's
 * code and message.
 */
export function problemOf({ response: { ok, status, statusText }, body }: Answer): Problem {
  const { error = body, message } = body as { error?: unknown; message?: unknown }
  const said = typeof error === 'string' ? { title: error, message } : Object(error)
  return {
    type: 'about:blank',
    title: said.code ?? (statusText || `${status}`),
    detail: said.message,
    ...said,
    status: Number(said.status) || (ok ? 500 : status),
  }
}
