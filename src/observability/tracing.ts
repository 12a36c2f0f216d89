/**
 * Traces, by the OpenTelemetry API alone: without an SDK of the user's it costs next to nothing and
 * does nothing. The span of a submit is kept with the operation as its `traceparent`, so that attempts in
 * other processes, hours later, join the same trace. Names follow the messaging conventions.
 */
import type { Attributes, Context, Span } from '@opentelemetry/api'

type Api = typeof import('@opentelemetry/api')

/**
 * Where the API keeps what a program has registered: its own copies find each other by it. As long as no program has
 * registered a tracer there is nothing to trace, and the API is not even loaded.
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

/** What a span is of, and what it joins. */
interface SpanRequest extends SpanSubject {
  /** A `traceparent` (W3C Trace Context) to join; without one, whatever span is active. */
  readonly parent?: string | undefined
  /** The same where no span is active, such as that of the server's own instrumentation. */
  readonly parentOutside?: string | undefined
  /** What its title names. Default: the operation. */
  readonly detail?: string
}

/**
 * Runs some work in a span of its own; what the work throws is recorded on it and thrown on.
 *
 * @param work is given the span; undefined where nothing is traced
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

/** Records on a span that what it stands for has failed. */
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

/** W3C Trace Context, 3.2: what cannot be read starts no trace. */
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
