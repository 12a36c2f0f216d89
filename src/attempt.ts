/**
 * One run of a handler: the stored input is held against the schema once more, the handler is
 * given its job, and what it returns or throws becomes an outcome. It runs wherever the handler
 * does: on the worker's event loop, or in a child process.
 */
import { isReference } from './blob-store.ts'
import { parseJson } from './json.ts'
import { type Media, toMedia } from './media.ts'
import type { Outcome } from './operation.ts'
import { backoffMs, type Handler, type Job, type LogLevel } from './operation-type.ts'
import { ProblemError, problem } from './problem.ts'
import type { Problem, Progress } from './protocol.ts'
import { fail, inSpan, traceparentOf } from './telemetry.ts'
import { validate } from './validation.ts'

/** What an attempt is to do. */
export interface Task {
  readonly id: string
  readonly type: string
  readonly attempt: number
  /** How many attempts have failed before, for the backoff. */
  readonly failedBefore: number
  /** JSON text. */
  readonly input: string
  readonly traceparent: string | null
}

/** What an attempt needs of the worker that holds its lease. */
export interface Host {
  progress(progress: Progress): void
  log(level: LogLevel, message: string): void
  /** Steps that earlier attempts have recorded: name to JSON text. */
  steps(): Promise<ReadonlyMap<string, string>>
  /** Resolves when the step is durable; rejects when the attempt has lost its lease. */
  recordStep(name: string, value: string): Promise<void>
  /** Keeps a result that is no JSON, and gives the output to record for it. Missing where there is no blob store. */
  keep?(media: Media): Promise<string>
}

/** Why an attempt is told to stop; the name of its signal's reason. */
export const STOP_REASONS = ['CanceledError', 'TimeoutError', 'LeaseLostError', 'ShutdownError'] as const
export type StopReason = (typeof STOP_REASONS)[number]

const STOP_MESSAGES: Record<StopReason, string> = {
  CanceledError: 'The operation was canceled.',
  TimeoutError: 'The attempt ran longer than its timeout.',
  LeaseLostError: 'The attempt lost its lease: another one may be running.',
  ShutdownError: 'The worker is shutting down.',
}

/** The reason that an attempt's signal is aborted with. */
export class StopError extends Error {
  override readonly name: StopReason

  constructor(name: StopReason) {
    super(STOP_MESSAGES[name])
    this.name = name
  }
}

/** The name of the reason that a signal was aborted with. */
export function stopReason(signal: AbortSignal): StopReason {
  return signal.reason instanceof StopError ? signal.reason.name : 'ShutdownError'
}

/** The most bytes of a log message that are kept. */
const LOG_MESSAGE_LIMIT = 8192

/** Runs a handler for a task and never rejects. `onError` is told of errors that a client is not told the whole of. */
export async function runAttempt(
  handler: Handler | undefined,
  task: Task,
  context: { host: Host; signal: AbortSignal; onError: (error: unknown) => void },
): Promise<Outcome> {
  if (handler === undefined) return { kind: 'failed', problem: problem('no-handler', `It is named "${task.type}".`) }
  const subject = { operation: task.type, id: task.id, attempt: task.attempt, parent: task.traceparent ?? undefined }
  return await inSpan('attempt', subject, async span => {
    const outcome = await runHandler(
      handler,
      { ...task, traceparent: traceparentOf(span) ?? task.traceparent },
      context,
    )
    if ('problem' in outcome) fail(span, outcome.problem.detail ?? outcome.problem.title)
    return outcome
  })
}

async function runHandler(
  handler: Handler,
  task: Task,
  context: { host: Host; signal: AbortSignal; onError: (error: unknown) => void },
): Promise<Outcome> {
  try {
    const input = await validate(handler.type.input, parseJson(task.input))
    if (input.errors !== undefined) {
      return { kind: 'failed', problem: problem('input-outdated', undefined, { errors: input.errors }) }
    }
    const output = await handler.run(input.value, makeJob(task, context.host, context.signal))
    const media = toMedia(output)
    return media === undefined ? await completed(handler, output) : await kept(media, context.host)
  } catch (error) {
    return failure(handler, task, error, context)
  }
}

async function completed(handler: Handler, output: unknown): Promise<Outcome> {
  const checked = await validate(handler.type.output, output)
  if (checked.errors !== undefined) {
    return { kind: 'failed', problem: problem('invalid-output', undefined, { errors: checked.errors }) }
  }
  const json = toJson(checked.value, 'The result')
  if (!isReference(json)) return { kind: 'completed', output: json }
  return { kind: 'failed', problem: problem('invalid-output', 'Its first member has a name that is reserved.') }
}

async function kept(media: Media, host: Host): Promise<Outcome> {
  if (host.keep === undefined) return { kind: 'failed', problem: problem('no-blob-store') }
  return { kind: 'completed', output: await host.keep(media) }
}

function failure(
  handler: Handler,
  task: Task,
  error: unknown,
  context: { signal: AbortSignal; onError: (error: unknown) => void },
): Outcome {
  const delayMs = backoffMs(handler.type.policy, task.failedBefore + 1)
  if (context.signal.aborted) return stopped(context.signal.reason, delayMs)
  // What a handler says of the request is no fault of the server's, and is told to the client in full.
  const refusal = error instanceof ProblemError && error.problem.status < 500 && error.cause === undefined
  if (!refusal) context.onError(error)
  if (!(error instanceof ProblemError)) return { kind: 'retry', problem: problem('operation-failed'), delayMs }
  const told: Problem = error.problem
  return error.retryAfterMs === undefined
    ? { kind: 'failed', problem: told }
    : { kind: 'retry', problem: told, delayMs: error.retryAfterMs }
}

/** The outcome of an attempt that was told to stop and did; after a timeout, the next one may begin in `delayMs`. */
export function stopped(reason: unknown, delayMs: number): Outcome {
  const name = reason instanceof Error ? reason.name : ''
  if (name === 'CanceledError') return { kind: 'canceled', problem: problem('operation-canceled') }
  if (name === 'TimeoutError') return { kind: 'retry', problem: problem('attempt-timeout'), delayMs }
  return { kind: 'released' }
}

function makeJob(task: Task, host: Host, signal: AbortSignal): Job {
  let recorded: Promise<ReadonlyMap<string, string>> | undefined
  const underWay = new Map<string, Promise<unknown>>()
  const runStep = async (name: string, work: () => unknown): Promise<unknown> => {
    recorded ??= host.steps()
    const before = (await recorded).get(name)
    if (before !== undefined) return JSON.parse(before)
    const subject = { operation: task.type, id: task.id, attempt: task.attempt, detail: name }
    const value = toJson(await inSpan('step', subject, async () => await work()), `The outcome of step "${name}"`)
    await host.recordStep(name, value)
    return JSON.parse(value)
  }
  return {
    id: task.id,
    attempt: task.attempt,
    signal,
    traceparent: task.traceparent ?? undefined,
    progress: (fraction, message) => host.progress(readProgress(fraction, message)),
    log: (message, level = 'info') => host.log(level, String(message).slice(0, LOG_MESSAGE_LIMIT)),
    step: async <T>(name: string, work: () => T | Promise<T>): Promise<T> => {
      if (typeof name !== 'string' || name.length < 1 || name.length > 200) {
        throw new TypeError('A step needs a name of 1 to 200 characters.')
      }
      const run = underWay.get(name) ?? runStep(name, work)
      underWay.set(name, run)
      // Only an outcome is kept: a handler may try a step that has failed again.
      run.catch(() => underWay.delete(name))
      return (await run) as T
    },
  }
}

function readProgress(fraction: number, message: string | undefined): Progress {
  if (typeof fraction !== 'number' || Number.isNaN(fraction)) {
    throw new TypeError(`A progress is a number from 0 to 1, not ${String(fraction)}.`)
  }
  const clamped = Math.min(Math.max(fraction, 0), 1)
  return message === undefined ? { fraction: clamped } : { fraction: clamped, message: message.slice(0, 500) }
}

/** JSON text of a value; what JSON cannot say becomes null, as it does inside arrays. */
function toJson(value: unknown, what: string): string {
  try {
    return JSON.stringify(value) ?? 'null'
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new TypeError(`${what} cannot be written as JSON: ${reason}`)
  }
}
