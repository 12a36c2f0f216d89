/**
 * Traces, by the OpenTelemetry API alone: without an SDK of the user's it costs next to nothing and
 * does nothing. The span of a submit is kept with the operation as its `traceparent`, so that attempts in
 * other processes, hours later, join the same trace. Names follow the messaging conventions.
 */
import {
  type Attributes,
  type Context,
  context,
  type Span,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  trace,
} from '@opentelemetry/api'

const tracer = trace.getTracer('waybill')

/** What a span is about. */
export interface SpanSubject {
  readonly operation: string
  readonly id?: string
  readonly attempt?: number
}

/** What is done to an operation. */
const KINDS = {
  submit: { kind: SpanKind.PRODUCER, type: 'send' },
  dispatch: { kind: SpanKind.PRODUCER, type: 'send' },
  attempt: { kind: SpanKind.CONSUMER, type: 'process' },
  step: { kind: SpanKind.INTERNAL, type: 'process' },
} as const

/**
 * Runs some work in a span of its own; what the work throws is recorded on it and thrown on.
 *
 * @param parent a `traceparent` (W3C Trace Context) to join; without one, whatever span is active
 */
export async function inSpan<T>(
  name: keyof typeof KINDS,
  subject: SpanSubject & { readonly parent?: string | undefined; readonly detail?: string },
  work: (span: Span) => Promise<T>,
): Promise<T> {
  const { kind, type } = KINDS[name]
  const joined = subject.parent === undefined ? context.active() : contextOf(subject.parent)
  const title = `${name} ${subject.detail ?? subject.operation}`
  return await tracer.startActiveSpan(
    title,
    { kind, attributes: attributesOf(subject, name, type) },
    joined,
    async span => {
      try {
        return await work(span)
      } catch (error) {
        fail(span, error)
        throw error
      } finally {
        span.end()
      }
    },
  )
}

/** Whether a span is active, such as that of the server's own instrumentation. */
export function isTracing(): boolean {
  return trace.getActiveSpan() !== undefined
}

/** Records on a span that what it stands for has failed. */
export function fail(span: Span, error: unknown): void {
  if (error instanceof Error) span.recordException(error)
  span.setStatus({ code: SpanStatusCode.ERROR, message: error instanceof Error ? error.message : String(error) })
}

/** The `traceparent` that continues from a span; undefined where nothing is traced. */
export function traceparentOf(span: Span): string | undefined {
  const { traceId, spanId, traceFlags } = span.spanContext()
  if (!trace.isSpanContextValid(span.spanContext())) return undefined
  return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`
}

/** W3C Trace Context, 3.2: what cannot be read starts no trace. */
function contextOf(traceparent: string): Context {
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
