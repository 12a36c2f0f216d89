/**
 * Traces with the OpenTelemetry API only. If the user has not set up an SDK, tracing does nothing and costs almost
 * nothing. The span of a submit is kept with the operation as its `traceparent`, so that attempts in other processes,
 * hours later, join the same trace. Names follow the OpenTelemetry conventions for messaging.
 */
import type { Attributes, Context, Span } from '@opentelemetry/api'

type Api = typeof import('@opentelemetry/api')

/**
 * The global symbol under which all copies of the API keep what a program has registered. If no tracer is registered
 * there, nothing is traced, and the API is not even loaded.
 */
const REGISTERED = Symbol.for('opentelemetry.js.api.1')
let loaded: Promise<Api> | undefined

function isTraced(): boolean {
  return (globalThis as { [REGISTERED]?: { readonly trace?: unknown } })[REGISTERED]?.trace !== undefined
}

/** What a span is about. */
interface SpanSubject {
  readonly operation: string
  readonly id?: string
  readonly attempt?: number
}

/** What is done to an operation. */
const KINDS = {
  submit: { kind: 'PRODUCER', type: 'send' },
  dispatch: { kind: 'PRODUCER', type: 'send' },
  attempt: { kind: 'CONSUMER', type: 'process' },
  step: { kind: 'INTERNAL', type: 'process' },
} as const

/** What a span is about, and which trace it joins. */
interface SpanRequest extends SpanSubject {
  /** The `traceparent` (W3C Trace Context) to join. Default: the active span. */
  readonly parent?: string | undefined
  /** The `traceparent` to join if no span is active. Instrumentation of the server may have an active span. */
  readonly parentOutside?: string | undefined
  /** What the name of the span mentions. Default: the operation. */
  readonly detail?: string
}

/**
 * Runs some work in a span of its own. An error of the work is recorded on the span and rethrown.
 *
 * @param work receives the span, or undefined where nothing is traced
 */
export function inSpan<T>(
  name: keyof typeof KINDS,
  request: SpanRequest,
  work: (span: TracedSpan | undefined) => Promise<T>,
): Promise<T> {
  return isTraced() ? inNewSpan(name, request, work) : work(undefined)
}

/** A span, and the API that made it. */
interface TracedSpan {
  readonly span: Span
  readonly api: Api
}

async function inNewSpan<T>(
  name: keyof typeof KINDS,
  request: SpanRequest,
  work: (span: TracedSpan | undefined) => Promise<T>,
): Promise<T> {
  loaded ??= import('@opentelemetry/api')
  const api = await loaded
  const { kind, type } = KINDS[name]
  const parent = request.parent ?? (api.trace.getActiveSpan() === undefined ? request.parentOutside : undefined)
  const joined = parent === undefined ? api.context.active() : contextOf(api, parent)
  const title = `${name} ${request.detail ?? request.operation}`
  const options = { kind: api.SpanKind[kind], attributes: attributesOf(request, name, type) }
  return await api.trace.getTracer('waybill').startActiveSpan(title, options, joined, async span => {
    try {
      return await work({ span, api })
    } catch (error) {
      fail({ span, api }, error)
      throw error
    } finally {
      span.end()
    }
  })
}

/** Records on a span that its work has failed. */
export function fail(traced: TracedSpan | undefined, error: unknown): void {
  if (traced === undefined) return
  const { span, api } = traced
  if (error instanceof Error) span.recordException(error)
  const message = error instanceof Error ? error.message : String(error)
  span.setStatus({ code: api.SpanStatusCode.ERROR, message })
}

/** The `traceparent` that continues from a span; undefined where nothing is traced. */
export function traceparentOf(traced: TracedSpan | undefined): string | undefined {
  if (traced === undefined) return undefined
  const { span, api } = traced
  const { traceId, spanId, traceFlags } = span.spanContext()
  if (!api.trace.isSpanContextValid(span.spanContext())) return undefined
  return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`
}

/** Reads a `traceparent`. One that cannot be read is ignored (W3C Trace Context, 3.2). */
function contextOf({ context, trace, TraceFlags }: Api, traceparent: string): Context {
  const match = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})/.exec(traceparent)
  if (match === null) return context.active()
  const [, traceId = '', spanId = '', flags = '00'] = match
  const traceFlags = Number.parseInt(flags, 16) & TraceFlags.SAMPLED
  return trace.setSpanContext(context.active(), { traceId, spanId, traceFlags, isRemote: true })
}

function attributesOf({ operation, id, attempt }: SpanSubject, name: string, type: string): Attributes {
  return {
    'messaging.system': 'waybill',
    'messaging.operation.name': name,
    'messaging.operation.type': type,
    'messaging.destination.name': operation,
    ...(id !== undefined && { 'messaging.message.id': id }),
    ...(attempt !== undefined && { 'waybill.attempt': attempt }),
  }
}
