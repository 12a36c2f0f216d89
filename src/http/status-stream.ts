/**
 * The event stream of one operation (WHATWG server-sent events): a `status` event for each version, further ones at
 * intervals while the operation waits in the queue, and `log` events if the type exposes its log. The id of an event is
 * where to resume: the version, and the number of the last log line that was sent.
 */

import type { Operation } from '../model/operation.ts'
import { isFinal, type StatusDocument } from '../model/protocol.ts'
import type { Operations } from '../service/operations.ts'
import { EVENT_STREAM_CACHING, eventStreamResponse, type HttpRequest, type HttpResponse, header } from './message.ts'

/** The position of a client: what it has seen. */
interface Position {
  readonly version: number
  readonly line: number
}

/** What a stream is made of. */
export interface EventSource {
  readonly operations: Operations
  readonly operation: Operation
  readonly exposeLogs: boolean
  readonly document: (operation: Operation) => Promise<StatusDocument>
}

/** The longest time between two messages, in milliseconds, so that proxies keep the stream open. */
const HEARTBEAT_MS = 15_000
/** How long a client waits before it reconnects when too many requests wait already, in milliseconds. */
const COME_BACK_MS = 5000

/** Answers with the stream; with 204, which tells a browser not to connect again, when the client has seen everything. */
export function eventStream(source: EventSource, request: HttpRequest): HttpResponse {
  const seen = readPosition(header(request, 'Last-Event-ID'), source.operation)
  if (isFinal(source.operation.status) && seen.version === source.operation.version) {
    return { status: 204, headers: { 'Cache-Control': EVENT_STREAM_CACHING, Vary: 'Accept' }, body: null }
  }
  return eventStreamResponse(events(source, seen, request.signal), { Vary: 'Accept' })
}

async function* events(source: EventSource, seen: Position, signal: AbortSignal): AsyncGenerator<string> {
  let { operation } = source
  let position = seen
  // Shows the client that it is connected, even if there is no event yet.
  if (operation.version <= seen.version) yield ': waiting\n\n'
  for (;;) {
    for (const line of await newLines(source, position.line)) {
      position = { ...position, line: line.sequence }
      yield write('log', position, { ...line, at: new Date(line.at).toISOString() })
    }
    if (operation.version > position.version) {
      position = { ...position, version: operation.version }
      yield write('status', position, await source.document(operation))
    }
    if (isFinal(operation.status) || signal.aborted) return
    const next = await nextChange(source, operation, position, signal)
    if (!next.waited) return yield `retry: ${COME_BACK_MS}\n\n`
    if (next.operation.version === operation.version) yield await sign(source, next.operation, position)
    operation = next.operation
  }
}

/** A heartbeat. In the queue it repeats the position, which changes while the operation does not. */
async function sign(source: EventSource, operation: Operation, position: Position): Promise<string> {
  if (operation.status !== 'pending') return ': waiting\n\n'
  return write('status', position, await source.document(operation))
}

function nextChange(
  { operations, exposeLogs }: EventSource,
  operation: Operation,
  seen: Position,
  signal: AbortSignal,
) {
  const news = async (now: Operation) =>
    now.version > seen.version || (exposeLogs && (await operations.logsOf(now.id, seen.line)).length > 0)
  return operations.wait(operation, news, { ms: HEARTBEAT_MS, signal })
}

async function newLines({ operations, operation, exposeLogs }: EventSource, after: number) {
  return exposeLogs ? await operations.logsOf(operation.id, after) : []
}

function write(event: string, { version, line }: Position, data: unknown): string {
  const id = line === 0 ? `${version}` : `${version}.${line}`
  return `event: ${event}\nid: ${id}\ndata: ${JSON.stringify(data)}\n\n`
}

/**
 * With a position that cannot be parsed, everything is sent. The same holds for a position that the operation has not
 * reached: its record was restored from a backup, or the id belongs to something else. Otherwise a client that waits
 * for later events would never receive the last one.
 */
function readPosition(lastEventId: string | undefined, { version: reached }: Operation): Position {
  const match = /^(\d{1,15})(?:\.(\d{1,15}))?$/.exec(lastEventId ?? '')
  const version = Number(match?.[1] ?? 0)
  return version > reached ? { version: 0, line: 0 } : { version, line: Number(match?.[2] ?? 0) }
}
