import { FINAL_STATUSES, type FinalStatus, type Links, type Problem, type StatusDocument } from '../model/protocol.ts'
import type { WebResponse } from '../model/web-types.ts'

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
  /** Seconds until the next poll, unless the server sends a status before; 0 when the operation has ended. */
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
  /** The result that it would be: the JSON value, undefined for an empty one and for 204, else the response. */
  readonly value: unknown
  /** The JSON; empty if there is none. */
  readonly text: string
  /** The members of the JSON value; none if it is not an object. */
  readonly body: PolledStatus
  /** What the server's word for the status means, if that is final. */
  readonly outcome: FinalStatus | undefined
}

/** Reads a response if its media type is JSON. */
export async function readAnswer(response: WebResponse): Promise<Answer> {
  const isJson = /[/+]json\b/i.test(`${response.headers.get('content-type')}`)
  return answerOf(response, isJson ? await response.text() : undefined)
}

/** Creates an answer from a response and the JSON of its body. */
export function answerOf(response: WebResponse, text?: string): Answer {
  const isRead = text !== undefined
  const copy = () => (isRead ? makeResponse(text, response, response.url) : response)
  const value: unknown = text ? JSON.parse(text) : isRead || response.status === 204 ? undefined : response
  const body: PolledStatus = Object(isRead ? value : {})
  const word = `${body.status}`.toLowerCase().replace('succeed', 'complet').replace('cancell', 'cancel')
  const outcome = FINAL_STATUSES.find(status => status === word)
  return { response, copy, value, text: text ?? '', body, outcome }
}

/** Creates a response that says that it came from a URL. */
export function makeResponse(text: string, init: object, url: string): WebResponse {
  return Object.defineProperty(new Response(text || null, init), 'url', { value: url })
}

/** The problem that an answer describes: as such, as the `error` of an operation, or by Azure's code and message. */
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
