import type { AnyOperationType } from '../model/operation-type.ts'
import { isFinal, type StatusDocument } from '../model/protocol.ts'
import type { WebAbortSignal } from '../model/web-types.ts'
import { OperationError, waitError } from './errors.ts'
import { readStatuses } from './event-stream.ts'
import { type Api, anyOf, type CallOptions, request } from './requests.ts'
import { settle } from './settle.ts'
import { type Answer, type OnStatusPoll, readAnswer } from './status.ts'
import { resolve } from './transport.ts'
import { type WaitOptions, wait } from './wait.ts'

/** The part of an operation type that a client needs when it runs. */
export type Contract = Pick<AnyOperationType, 'name' | 'resultKey'>

/** A handle as JSON. It contains no secret. */
export interface SavedOperation {
  /** The operation type's name. */
  readonly operation: string
  /** The absolute status URL. */
  readonly url: string
}

/** How to wait for a result. */
export interface ResultOptions extends CallOptions, Pick<WaitOptions, 'timeout' | 'cancelOnAbort' | 'onTrouble'> {
  /**
   * Called with each status document that arrives. If it returns a promise, the wait goes on when that is fulfilled; what
   * it throws ends the wait. The last status may not be among them.
   */
  readonly onStatus?: ((status: StatusDocument) => unknown) | undefined
}

/**
 * One operation whose result is an `Output`. `JSON.stringify` saves it, and `attach` of the same client, or of another
 * one in another process, restores it. Its methods can be called in any order, and again.
 */
export interface OperationHandle<Output = unknown> extends SavedOperation {
  readonly id: string
  /**
   * Waits for the end of the operation: by its event stream, else by long polls, else by polls, over restarts of the
   * server. When `signal` or `timeout` ends the wait, the operation goes on unless `cancelOnAbort` is set.
   *
   * @returns the output: what the result document has under its result key. If the result is not JSON, the response, to
   *   be read as a stream, a string or a Blob
   * @throws OperationError it failed or was canceled
   * @throws WaitError the outcome is not known; `code` says why
   */
  result(options?: ResultOptions): Promise<Output>
  /** Gets the current status. */
  status(options?: CallOptions): Promise<StatusDocument>
  /**
   * Iterates over the status documents from now on, each that differs from the one before, up to the final one. It
   * receives them as `result` does, and ends after the final one also if the operation failed. To stop, leave the loop.
   */
  events(options?: CallOptions): AsyncGenerator<StatusDocument, void, undefined>
  /**
   * Cancels the operation. A pending one is canceled at once; a running one is asked to stop, and may still complete.
   *
   * @returns the status after that
   * @throws WaitError `refused`, with the problem `operation-finished`, if it has completed or failed before
   */
  cancel(options?: CallOptions): Promise<StatusDocument>
  /**
   * Sends an event that the operation waits for, or will wait for; `waits` in its status lists the open waits. The same
   * event again changes nothing.
   *
   * @param value any JSON value that the schema of the wait allows
   * @throws WaitError `refused`, with the problem `invalid-event`, `event-refused` or `operation-finished`
   */
  sendEvent(name: string, value: unknown, options?: CallOptions): Promise<void>
  toJSON(): SavedOperation
}

/** @param ended the answer of the result URL, if that is known already */
export function createHandle<Output>(
  api: Api,
  { name, resultKey }: Contract,
  url: string,
  ended?: Answer | false,
): OperationHandle<Output> {
  const id = /[^/]*$/.exec(new URL(url).pathname)?.[0] ?? ''

  async function follow({ onStatus, cancelOnAbort, ...options }: ResultOptions): Promise<unknown> {
    const signal = anyOf(api.signal, options.signal)
    if (cancelOnAbort && signal.aborted) api.fetch(url, { method: 'DELETE', keepalive: true }).catch(() => {})
    signal.throwIfAborted()
    if (ended) return settle(await readAnswer(ended.copy()), url, true).value
    const init = { ...options, fetch: api.fetch, signal, cancelOnAbort }
    const onStatusPoll: OnStatusPoll = ({ document }) => (isStatusDocument(document) ? onStatus?.(document) : undefined)
    return wait(url, init, onStatusPoll, url, { links: { events: url, result: resolve(`../${id}`, url) } })
  }

  async function status(options: CallOptions = {}): Promise<StatusDocument> {
    const answer = await request(api, url, { ...options, statusUrl: url })
    if (isStatusDocument(answer.body)) return answer.body
    // The answer is the result, or a redirect to it that a browser hides. The event stream has the status then.
    if (answer.response.ok || answer.outcome || answer.response.type === 'opaqueredirect') {
      const headers = { accept: 'text/event-stream' }
      await answer.copy().body?.cancel()
      const { response } = await request(api, url, { ...options, headers, statusUrl: url })
      for await (const data of readStatuses(response)) return JSON.parse(data)
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
    try {
      yield* statuses(reader, signal)
    } finally {
      stop.abort()
    }
  }

  async function* statuses(reader: ReadableStreamDefaultReader<StatusDocument>, signal?: WebAbortSignal) {
    for (let last = ''; ; ) {
      // If the wait ended with the result alone, the final status has to be requested.
      const { value } = await reader.read()
      const document = value ?? (await status({ signal }))
      const text = JSON.stringify(document)
      if (text !== last) yield document
      if (!value || isFinal(document.status)) return
      last = text
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
      // A response of an intermediary, such as a login page, does not offer ranges.
      if (document instanceof Response && document.headers.get('accept-ranges')) return document as Output
      if (!(resultKey in document)) throw waitError('refused', url)
      return document[resultKey]
    },
    async cancel(options) {
      const answer = await request(api, url, { ...options, method: 'DELETE', statusUrl: url })
      if (isStatusDocument(answer.body)) return answer.body
      throw refusal(answer, url)
    },
    async sendEvent(event, value, options) {
      const target = resolve(`../../operations/${id}/events/${encodeURIComponent(event)}`, url)
      const headers = { 'content-type': 'application/json' }
      const init = { method: 'POST', headers, body: JSON.stringify(value ?? null), statusUrl: url } as const
      const answer = await request(api, target, { ...options, ...init })
      if (!answer.response.ok) throw refusal(answer, url)
    },
    toJSON: () => ({ operation: name, url }),
  }
}

function refusal(answer: Answer, url: string) {
  return waitError([404, 410].includes(answer.response.status) ? 'gone' : 'refused', url, answer)
}

function isStatusDocument(body: object): body is StatusDocument {
  return 'links' in body
}
