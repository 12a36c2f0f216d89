/** Traces, as the SDK of OpenTelemetry sees them. */
import { context, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import { afterAll, beforeAll, beforeEach, describe, expect } from 'vitest'
import { defineOperation, handler, ProblemError } from 'waybill'
import { processLauncher } from 'waybill/launchers/process'
import { sqliteStore } from 'waybill/stores/sqlite'
import { LaunchRefused } from '../../src/launchers/launcher.ts'
import { handlerFile, play, plays } from '../support/handlers.ts'
import { accepted } from '../support/http.ts'
import { openOrderServer } from '../support/order-server.ts'
import { placeOf, spanOf, spans, startTracing, stopTracing } from '../support/tracing.ts'
import {
  hasFinished,
  hasStatus,
  recordOf,
  resultOf,
  submit,
  type TestContext,
  test,
  until,
} from '../support/waybill.ts'

const parcels = defineOperation({ name: 'parcels', attempts: 2, backoff: { initial: 0, jitter: 0 } })
const CLIENT = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'

beforeAll(startTracing)
beforeEach(() => spans.reset())
afterAll(stopTracing)

const carry = handler(parcels, async (input, job) => {
  if (input === 'refuse') throw new ProblemError({ status: 422, title: 'Too heavy' })
  if (input === 'crash') throw new Error('The axle is broken.')
  const weight = await job.step('weigh', () => {
    if (input === 'scales') throw new Error('The scales are broken.')
    return 7
  })
  return { traceparent: job.traceparent, weight }
})

/** Resolves when spans of this many attempts have ended: the record is written within them. */
async function attempts(count: number): Promise<void> {
  const ended = () => spans.getFinishedSpans().filter(({ name }) => name.startsWith('attempt')).length
  await until(() => ended() === count)
}

async function run(lab: TestContext, input: unknown = null) {
  const waybill = await lab.waybill([parcels], { worker: { handlers: carry } })
  const id = await submit(waybill, parcels, input)
  return { waybill, id, record: await hasFinished(waybill.store, id) }
}

describe('an operation', () => {
  test('is one trace from its submit over its attempt to its steps', async ({ lab }) => {
    const { waybill, id } = await run(lab)
    await attempts(1)
    const [send, attempt, step] = ['submit parcels', 'attempt parcels', 'step weigh'].map(name => spanOf(name))
    if (send === undefined || attempt === undefined || step === undefined) throw new Error('A span is missing.')
    const { trace: traceId, id: sent } = placeOf(send)
    expect(placeOf(send).parent).toBeUndefined()
    expect(placeOf(attempt)).toMatchObject({ trace: traceId, parent: sent })
    expect(placeOf(step)).toMatchObject({ trace: traceId, parent: placeOf(attempt).id })
    expect((await recordOf(waybill.store, id)).traceparent).toBe(`00-${traceId}-${sent}-01`)
    // What a handler calls joins its attempt.
    expect(await resultOf(waybill.store, id)).toEqual({
      traceparent: `00-${traceId}-${placeOf(attempt).id}-01`,
      weight: 7,
    })
  })

  test('has spans that follow the conventions of messaging', async ({ lab }) => {
    const { id } = await run(lab)
    await attempts(1)
    const common = {
      'messaging.system': 'waybill',
      'messaging.destination.name': 'parcels',
      'messaging.message.id': id,
    }
    const told = (name: string) => {
      const { kind, attributes, status } = spanOf(name)
      return { kind, attributes, status: status.code }
    }
    expect(told('submit parcels')).toEqual({
      kind: SpanKind.PRODUCER,
      attributes: { ...common, 'messaging.operation.name': 'submit', 'messaging.operation.type': 'send' },
      status: SpanStatusCode.UNSET,
    })
    expect(told('attempt parcels')).toEqual({
      kind: SpanKind.CONSUMER,
      attributes: {
        ...common,
        'messaging.operation.name': 'attempt',
        'messaging.operation.type': 'process',
        'waybill.attempt': 1,
      },
      status: SpanStatusCode.UNSET,
    })
    expect(told('step weigh')).toMatchObject({
      kind: SpanKind.INTERNAL,
      attributes: { 'messaging.operation.name': 'step', 'waybill.attempt': 1 },
    })
  })

  test('that fails marks the attempt, and a failed step has its error', async ({ lab }) => {
    for (const [input, count, message] of [
      ['refuse', 1, 'Too heavy'],
      ['crash', 2, /The operation failed|again later/],
      ['scales', 2, /The operation failed|again later/],
    ] as const) {
      spans.reset()
      await run(lab, input)
      await attempts(count)
      const ended = spans.getFinishedSpans().filter(({ name }) => name === 'attempt parcels')
      expect(ended.map(({ attributes }) => attributes['waybill.attempt'])).toEqual([1, 2].slice(0, count))
      for (const { status } of ended) {
        expect(status).toEqual({ code: SpanStatusCode.ERROR, message: expect.stringMatching(message) })
      }
      // All attempts stand in the trace of the submit.
      expect(new Set(spans.getFinishedSpans().map(span => placeOf(span).trace)).size).toBe(1)
    }
    const { status, events } = spanOf('step weigh')
    expect(status).toEqual({ code: SpanStatusCode.ERROR, message: 'The scales are broken.' })
    expect(events.map(({ name }) => name)).toEqual(['exception'])
  })

  test('that cannot be stored marks its submit', async ({ lab }) => {
    const { waybill } = await run(lab)
    await waybill.store.close()
    await expect(submit(waybill, parcels)).rejects.toThrow()
    expect(spanOf('submit parcels').status.code).toBe(SpanStatusCode.ERROR)
  })
})

describe('the trace of the client', () => {
  test('is continued over HTTP', async ({ lab }) => {
    const served = await openOrderServer(lab)
    const id = await accepted(served, '/orders', { wish: 'complete' }, { traceparent: CLIENT })
    await hasStatus(served.store, id, 'completed')
    await attempts(1)
    expect(placeOf(spanOf('submit orders'))).toMatchObject({
      trace: '4bf92f3577b34da6a3ce929d0e0e4736',
      parent: '00f067aa0ba902b7',
    })
    expect(placeOf(spanOf('attempt orders')).trace).toBe('4bf92f3577b34da6a3ce929d0e0e4736')
  })

  test('is continued by the span of the server if there is one', async ({ lab }) => {
    const waybill = await lab.waybill([parcels])
    await trace.getTracer('server').startActiveSpan('POST /parcels', async span => {
      await submit(waybill, parcels, null, { traceparent: CLIENT })
      span.end()
    })
    expect(placeOf(spanOf('submit parcels'))).toMatchObject({
      trace: placeOf(spanOf('POST /parcels')).trace,
      parent: placeOf(spanOf('POST /parcels')).id,
    })
  })

  test('that is not sampled stays unsampled, and is still continued', async ({ lab }) => {
    const waybill = await lab.waybill([parcels], { worker: { handlers: carry } })
    const id = await submit(waybill, parcels, null, { traceparent: CLIENT.replace(/01$/, '00') })
    const { traceparent } = (await resultOf(waybill.store, id)) as { traceparent: string }
    expect(traceparent).toMatch(/^00-4bf92f3577b34da6a3ce929d0e0e4736-[0-9a-f]{16}-00$/)
    expect(spans.getFinishedSpans()).toEqual([])
  })
})

describe('in another process', () => {
  test('an attempt joins the trace, with an SDK of its own or without', async ({ lab }) => {
    const type = plays()
    for (const execArgv of [[], ['--import', new URL('../fixtures/traced.ts', import.meta.url).href]]) {
      const worker = { handlers: handlerFile('traced'), concurrency: 1, execArgv }
      const waybill = await lab.waybill([type], { store: sqliteStore({ path: lab.file() }), worker })
      const id = await submit(waybill, type)
      const result = (await resultOf(waybill.store, id)) as { traceparent: string; pid: number }
      expect(result.pid).not.toBe(process.pid)
      const { trace: traceId, id: sent } = placeOf(spanOf('submit plays'))
      const [, joined, at] = result.traceparent.split('-')
      expect(joined).toBe(traceId)
      // Without an SDK there is no span of the attempt's: what it calls joins the submit.
      if (execArgv.length === 0) expect(at).toBe(sent)
      else expect(at).not.toBe(sent)
    }
  })

  test('a start by a launcher is a span of the trace, which is marked if it is refused', async ({ lab }) => {
    const path = lab.file()
    const type = plays()
    const entry = new URL('../fixtures/job.ts', import.meta.url)
    const real = processLauncher({ entry, niceness: 0, env: { TEST_STORE: path } })
    let starts = 0
    const launcher = {
      engine: real.engine,
      stop: (execution: string) => real.stop(execution),
      inspect: (execution: string) => real.inspect(execution),
      start: async (request: Parameters<typeof real.start>[0]) => {
        if (starts++ === 0) throw new LaunchRefused('There is no room.', 20)
        return await real.start(request)
      },
    }
    const waybill = await lab.waybill([type], {
      store: sqliteStore({ path, synchronous: 'NORMAL' }),
      dispatcher: { launcher, pollInterval: 20 },
    })
    const id = await submit(waybill, type, play({ do: 'return', value: 1 }))
    await hasStatus(waybill.store, id, 'completed')
    const dispatches = spans.getFinishedSpans().filter(({ name }) => name === 'dispatch plays')
    expect(dispatches.map(({ status }) => status.code)).toEqual([SpanStatusCode.ERROR, SpanStatusCode.UNSET])
    for (const dispatch of dispatches) {
      expect(placeOf(dispatch)).toMatchObject({
        trace: placeOf(spanOf('submit plays')).trace,
        parent: placeOf(spanOf('submit plays')).id,
      })
      expect(dispatch.kind).toBe(SpanKind.PRODUCER)
      expect(dispatch.attributes).toMatchObject({ 'messaging.operation.name': 'dispatch', 'messaging.message.id': id })
    }
  })
})

test('the spans of a handler are within its own span, and no others are', async ({ lab }) => {
  const seen: (string | undefined)[] = []
  const active = () => trace.getSpan(context.active())?.spanContext().spanId
  const look = handler(parcels, async () => {
    seen.push(active())
    await new Promise(resolve => setImmediate(resolve))
    seen.push(active())
  })
  const waybill = await lab.waybill([parcels], { worker: { handlers: look } })
  await Promise.all([submit(waybill, parcels), submit(waybill, parcels)])
  await attempts(2)
  const ids = spans.getFinishedSpans().filter(({ name }) => name === 'attempt parcels')
  expect(new Set(seen)).toEqual(new Set(ids.map(span => placeOf(span).id)))
  expect(active()).toBeUndefined()
})
