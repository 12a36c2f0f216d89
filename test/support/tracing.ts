/**
 * The OpenTelemetry SDK, set up as a program of a user's would. Without an exporter of its own it keeps the spans; in a
 * child process nothing but their ids is asked for.
 */
import { context, ProxyTracerProvider, trace } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base'

export const spans = new InMemorySpanExporter()

let isOn = false
const real = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] })
const none = new ProxyTracerProvider().getTracer('none')

export function startTracing(): void {
  isOn = true
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
  trace.setGlobalTracerProvider({
    getTracer: name =>
      new Proxy(real.getTracer(name), { get: (tracer, key) => Reflect.get(isOn ? tracer : none, key) }),
  })
}

/** Traces nothing any more. A tracer goes on for its process, and other test files come after this one in it. */
export function stopTracing(): void {
  isOn = false
  context.disable()
  trace.disable()
}

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
