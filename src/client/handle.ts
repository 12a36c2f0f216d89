import type { AnyOperationType, OperationOutput } from '../model/operation-type.ts'
import { isFinal, type StatusDocument } from '../model/protocol.ts'
import { OperationError, waitError } from './errors.ts'
import { readEvents } from './event-stream.ts'
import { type Api, anyOf, type CallOptions, request } from './requests.ts'
import type { Answer } from './status.ts'
import { resolve } from './transport.ts'
import { Wait, type WaitOptions } from './wait.ts'

/** The part of an operation type that a client needs when it runs; its types say the rest. */
export type Contract = Pick<AnyOperationType, 'name' | 'resultKey'>

/** What is left of a handle in JSON. It holds no secret. */
export interface SavedOperation {
  /** The operation type's name. */
  readonly operation: string
  /** The absolute status URL. */
  readonly url: string
}

/** How to wait for a result. */
export interface ResultOptions extends CallOptions, Pick<WaitOptions, 'timeoutMs' | 'cancelOnAbort' | 'onTrouble'> {
  /** Hears each status document that arrives, and is awaited; what it throws ends the wait. The last one may not be among them. */
  readonly onStatus?: ((status: StatusDocument) => unknown) | undefined
}

/**
 * One operation. `JSON.stringify` keeps it, and `attach` of the same client, or of another one in
 * another process, makes a handle of that again. Its methods can be called in any order, and again.
 */
export interface OperationHandle<T> extends SavedOperation {
  readonly id: string
  /**
   * Waits for the end, by the event stream, else by long polls, else by polls, over restarts of the
   * server. The end of a wait, by `signal` or `timeoutMs`, leaves the operation alone unless
   * `cancelOnAbort` is set.
   *
   * @returns the output: what the result document holds under its result key; of a result that is no JSON,
   *   the response, to be read as a stream, text, or a Blob
   * @throws OperationError it failed or was canceled
   * @throws WaitError there is no outcome to report; `code` says why
   */
  result(options?: ResultOptions): Promise<OperationOutput<T>>
  /** What the operation is at now. */
  status(options?: CallOptions): Promise<StatusDocument>
  /**
   * The status documents from now on, each that differs from the one before, up to the final one, by
   * the same ways as `result`. It ends after that, also when the operation failed; to leave the loop is to stop.
   */
  events(options?: CallOptions): AsyncGenerator<StatusDocument, void, undefined>
  /**
   * Cancels. A pending operation is canceled at once; a running one is told to stop, and may still complete.
   *
   * @returns the status document as it is then
   * @throws WaitError `refused`, with the problem `operation-finished`: it has completed or failed before
   */
  cancel(options?: CallOptions): Promise<StatusDocument>
  toJSON(): SavedOperation
}

/** @param ended what the result URL answers, where that is known already */
export function createHandle<T>(
  api: Api,
  { name, resultKey }: Contract,
  url: string,
  ended?: Answer | false,
): OperationHandle<T> {
  const id = /[^/]*$/.exec(new URL(url).pathname)?.[0] ?? ''

  async function follow({ onStatus, cancelOnAbort, ...options }: ResultOptions): Promise<unknown> {
    const signal = anyOf(api.signal, options.signal)
    if (cancelOnAbort && signal.aborted) api.fetch(url, { method: 'DELETE', keepalive: true }).catch(() => {})
    const wait = new Wait(url, { ...options, fetch: api.fetch, signal, cancelOnAbort }, ({ document }) =>
      isStatusDocument(document) ? onStatus?.(document) : undefined,
    )
    const result = resolve(`../${id}`, url)
    return wait.within(() => (ended ? wait.end(ended) : wait.attach({ events: url, result })))
  }

  async function status(options: CallOptions = {}): Promise<StatusDocument> {
    const answer = await request(api, url, { ...options, statusUrl: url })
    if (isStatusDocument(answer.body)) return answer.body
    // The answer is the result, or a redirect to it that a browser hides: then the stream tells the status.
    if (answer.response.ok || answer.outcome || answer.response.type === 'opaqueredirect') {
      const headers = { accept: 'text/event-stream' }
      await answer.response.body?.cancel()
      const { response } = await request(api, url, { ...options, headers, statusUrl: url })
      for await (const { event, data } of readEvents(response)) {
        if (event === 'status\n') return JSON.parse(data)
      }
    }
    throw refusal(answer, url)
  }

  async function* events({ signal }: CallOptions = {}): AsyncGenerator<StatusDocument, void, undefined> {
    const stop = new AbortController()
    const { readable, writable } = new TransformStream<StatusDocument, StatusDocument>()
    const writer = writable.getWriter()
    const reader = readable.getReader()
    follow({ signal: anyOf(signal, stop.signal), onStatus: document => writer.write(document) })
      .then(() => writer.close())
      .catch(error => (error instanceof OperationError ? writer.close() : writer.abort(error)))
      .catch(() => {})
    let last = ''
    try {
      for (;;) {
        // Where the end was told by the result alone, the status is asked for once more.
        const { value } = await reader.read()
        const document = value ?? (await status({ signal }))
        const text = JSON.stringify(document)
        if (text !== last) yield document
        if (!value || isFinal(document.status)) return
        last = text
      }
    } finally {
      stop.abort()
    }
  }

  return {
    operation: name,
    id,
    url,
    status,
    events,
    async result(options = {}) {
      const document = Object(await follow(options))
      // What stands in the way, such as a page to log in, offers no ranges.
      if (document instanceof Response && document.headers.get('accept-ranges')) return document as OperationOutput<T>
      if (!(resultKey in document)) throw waitError('refused', url, url)
      return document[resultKey]
    },
    async cancel(options) {
      const answer = await request(api, url, { ...options, method: 'DELETE', statusUrl: url })
      if (isStatusDocument(answer.body)) return answer.body
      throw refusal(answer, url)
    },
    toJSON: () => ({ operation: name, url }),
  }
}

function refusal(answer: Answer, url: string) {
  return waitError([404, 410].includes(answer.response.status) ? 'gone' : 'refused', url, url, answer)
}

function isStatusDocument(body: object): body is StatusDocument {
  return 'links' in body
}
