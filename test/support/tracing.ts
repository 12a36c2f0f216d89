/**
 * The OpenTelemetry SDK, set up as a program of a user's would: import it first. Without an exporter of its
 * own it keeps the spans; in a child process (`--import`) nothing but their ids is asked for.
 */
import { context, trace } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base'

export const spans = new InMemorySpanExporter()

context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] }))

/** The span of a name, of the last trace that has one. */
export function spanOf(name: string): ReadableSpan {
  const found = spans.getFinishedSpans().findLast(span => span.name === name)
  if (found === undefined) throw new Error(`There is no span "${name}".`)
  return found
}

/** What tells where a span stands: its trace, itself and its parent. */
export function placeOf(span: ReadableSpan): { trace: string; id: string; parent: string | undefined } {
  const { traceId, spanId } = span.spanContext()
  return { trace: traceId, id: spanId, parent: span.parentSpanContext?.spanId }
}
