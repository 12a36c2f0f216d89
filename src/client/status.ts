import { type FinalStatus, isFinal, type Links, type Problem, type StatusDocument } from '../model/protocol.ts'
import type { WebResponse } from '../model/web-types.ts'

/** A status document as some server sent it: of ours, or of one that knows only a few of its members. */
export type PolledStatus = Partial<Omit<StatusDocument, 'status' | 'links'>> & {
  readonly links?: Partial<Links> | undefined
  readonly status?: string
  /** Where the result is, in Azure's monitors. */
  readonly resourceLocation?: string
  readonly [member: string]: unknown
}

/** What is passed on each time the status was seen. */
export interface StatusPoll {
  /** The answer; its body can be read, and its `url` is the status URL. An event of the stream comes as one too. */
  readonly response: WebResponse
  /** Seconds until the status is asked for again, where nothing is heard before; 0 when the operation has ended. */
  readonly retryAfter: number
  /** The status as the server names it; undefined where the answer names none. */
  readonly status: string | undefined
  /** The status document; empty where the answer is not a JSON object. */
  readonly document: PolledStatus
}

/** Hears of each status; a promise that it returns is awaited before the wait goes on. */
export type OnStatusPoll = (poll: StatusPoll) => unknown

/** A response, read if its body is JSON, and unread if it is not. */
export interface Answer {
  /** Its body can be read, once. */
  readonly response: WebResponse
  /** The response once more, where its body has been read; else the same. */
  readonly copy: () => WebResponse
  /** What it amounts to as a result: the JSON value, undefined for an empty one and for 204, else the response. */
  readonly value: unknown
  /** The JSON text; empty where there is none. */
  readonly text: string
  /** The members of the JSON value; none where it is not an object. */
  readonly body: PolledStatus
  /** How the server's word for the status reads in ours; undefined where it is not final, or not known. */
  readonly outcome?: FinalStatus | undefined
}

/** Reads a response if its media type is JSON. */
export async function readAnswer(response: WebResponse): Promise<Answer> {
  if (/[/+]json\b/i.test(`${response.headers.get('content-type')}`)) {
    return answerOf(await response.text(), response.url, response)
  }
  const value = response.status === 204 ? undefined : response
  return { response, copy: () => response, value, text: '', body: {} }
}

/** The answer that a JSON text from `url` makes. */
export function answerOf(text: string, url: string, init: object): Answer {
  const value: unknown = text ? JSON.parse(text) : undefined
  const body: PolledStatus = Object(value)
  const word = `${body.status}`.toLowerCase().replace('succeed', 'complet').replace('cancell', 'cancel')
  const copy = () => Object.defineProperty(new Response(text || null, init), 'url', { value: url })
  return { response: copy(), copy, value, text, body, outcome: isFinal(word) ? word : undefined }
}

/** What an answer says is wrong: as a problem, as the `error` of an operation, or in Azure's code and message. */
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
