/**
 * One run of a handler: the stored input is validated once more, the handler is given its job, and
 * what it returns or throws becomes an outcome, which is plain data within bounds that any store can
 * write. It runs where the handler does: on the worker's event loop, or in a child process.
 */
import { isReference } from '../blobs/blob-store.ts'
import type {
  AskModelOptions,
  AskOptions,
  Child,
  ChildOptions,
  ChildResults,
  EventOptions,
  Handler,
  Job,
  SettledChildren,
} from '../model/handler.ts'
import { parseJson } from '../model/json.ts'
import { type Media, toMedia } from '../model/media.ts'
import type { Outcome } from '../model/operation.ts'
import {
  type AnyOperationType,
  backoffMs,
  type OperationInput,
  type OperationOutput,
  type OutputOf,
} from '../model/operation-type.ts'
import { ProblemError, plainProblem, problem, problemError, readRetryAfterMs } from '../model/problem.ts'
import type { Progress } from '../model/protocol.ts'
import { validate } from '../model/validation.ts'
import type { WaitRequest } from '../model/waits.ts'
import { fail, inSpan, traceparentOf } from '../observability/tracing.ts'
import { readMember } from '../util/plain-json.ts'
import { AttemptChildren } from './attempt-children.ts'
import { describeError } from './attempt-error.ts'
import { AttemptLog } from './attempt-log.ts'
import { AttemptWaits } from './attempt-waits.ts'
import { ProgressWriter } from './progress-writer.ts'
import { type Host, StopError, type Task } from './runners/runner.ts'
import { Steps } from './steps.ts'

/** The most bytes of a result that is JSON, and of what one step returns. */
const MAX_JSON_BYTES: number = 32 * 1024 * 1024

/** What a run needs beside its task. */
interface Context {
  readonly host: Host
  /** Aborted when the run should stop. */
  readonly signal: AbortSignal
}

/** Runs a handler for a task. Never rejects: whatever is thrown becomes the outcome. */
export async function runAttempt(handler: Handler | undefined, task: Task, context: Context): Promise<Outcome> {
  if (handler === undefined) return { kind: 'failed', problem: problem('no-handler', `It is named "${task.type}".`) }
  const subject = { operation: task.type, id: task.id, attempt: task.attempt, parent: task.traceparent ?? undefined }
  let outcome: Outcome | undefined
  try {
    await inSpan('attempt', subject, async span => {
      const traceparent = traceparentOf(span) ?? task.traceparent
      outcome = withinBounds(await runHandler(handler, { ...task, traceparent }, context))
      if ('problem' in outcome) fail(span, outcome.problem.detail ?? outcome.problem.title)
    })
  } catch (error) {
    // An error that the user's tracing throws afterwards changes nothing.
    outcome ??= failure(handler, task, error, context.signal)
  }
  return outcome ?? { kind: 'released' }
}

/** The validation messages of a schema can be as long as the value. */
function withinBounds(outcome: Outcome): Outcome {
  return 'problem' in outcome ? { ...outcome, problem: plainProblem(outcome.problem) } : outcome
}

async function runHandler(handler: Handler, task: Task, { host, signal }: Context): Promise<Outcome> {
  const notes = new Notes(handler, task, { host, signal })
  try {
    const input = await validate(handler.type.input, parseJson(task.input))
    if (input.errors !== undefined) {
      return { kind: 'failed', problem: problem('input-outdated', undefined, { errors: input.errors }) }
    }
    // A handler that starts now would wait for the abort event of its signal, which has already fired.
    signal.throwIfAborted()
    const end = await endOf(handler, input.value, task, { host, signal, notes })
    if ('waits' in end) return { kind: 'suspended', waits: end.waits }
    const { output } = end
    const media = toMedia(output)
    return media === undefined ? await completeWith(handler, output) : await uploadMedia(media, host)
  } catch (error) {
    return failure(handler, task, error, signal)
  } finally {
    notes.end()
  }
}

/** How a run ended: the handler returned, or it only waits. */
type RunEnd = { readonly output: unknown } | { readonly waits: readonly WaitRequest[] }

async function endOf(
  handler: Handler,
  input: unknown,
  task: Task,
  context: Context & { notes: Notes },
): Promise<RunEnd> {
  const { promise, resolve, reject } = Promise.withResolvers<RunEnd>()
  const job = makeJob(task, { ...context, suspend: waits => resolve({ waits }) })
  // A handler that waits never returns.
  void returned(handler, input, job).then(output => resolve({ output }), reject)
  return await promise
}

async function returned(handler: Handler, input: unknown, job: Job): Promise<unknown> {
  return await handler.run(input, job)
}

async function completeWith(handler: Handler, output: unknown): Promise<Outcome> {
  const checked = await validate(handler.type.output, output)
  if (checked.errors !== undefined) {
    return { kind: 'failed', problem: problem('invalid-output', undefined, { errors: checked.errors }) }
  }
  const json = toJson(checked.value, 'The result')
  if (!isReference(json)) return { kind: 'completed', output: json }
  return { kind: 'failed', problem: problem('invalid-output', 'Its first member has a name that is reserved.') }
}

async function uploadMedia(media: Media, host: Host): Promise<Outcome> {
  if (host.upload === undefined) return { kind: 'failed', problem: problem('no-blob-store') }
  return { kind: 'completed', output: await host.upload(media) }
}

function failure(handler: Handler, task: Task, thrown: unknown, signal: AbortSignal): Outcome {
  const delayMs = backoffMs(handler.type.policy, task.failedBefore + 1)
  if (signal.aborted) {
    const outcome = outcomeOfStop(signal.reason, delayMs)
    return outcome.kind === 'retry' && !(thrown instanceof StopError)
      ? { ...outcome, error: describeError(thrown) }
      : outcome
  }
  if (!(thrown instanceof ProblemError)) {
    return { kind: 'retry', problem: problem('operation-failed'), delayMs, error: describeError(thrown) }
  }
  const told = plainProblem(Object(readMember(thrown, 'problem')))
  // A problem about the request is not a fault of the server, and the client receives it in full.
  const isRefusal = told.status < 500 && readMember(thrown, 'cause') === undefined
  const error = isRefusal ? {} : { error: describeError(thrown) }
  const retryAfterMs = readRetryAfterMs(readMember(thrown, 'retryAfterMs'))
  return retryAfterMs === undefined
    ? { kind: 'failed', problem: told, ...error }
    : { kind: 'retry', problem: told, delayMs: retryAfterMs, ...error }
}

/** The outcome of an attempt that stopped on request. After a timeout, the next attempt may begin in `delayMs`. */
export function outcomeOfStop(reason: unknown, delayMs: number): Outcome {
  const name = reason instanceof Error ? reason.name : ''
  if (name === 'CanceledError') return { kind: 'canceled', problem: problem('operation-canceled') }
  if (name === 'DeadlineError') return { kind: 'failed', problem: problem('deadline-exceeded') }
  if (name === 'TimeoutError') return { kind: 'retry', problem: problem('attempt-timeout'), delayMs }
  return { kind: 'released' }
}

/**
 * The progress and log lines of an attempt. Both are limited here, where the handler runs, and sent before the outcome.
 * Made on first use, since most attempts report nothing.
 */
class Notes {
  readonly #handler: Handler
  readonly #task: Task
  readonly #context: Context
  readonly #onAbort = () => this.#log?.flush()
  #progress: ProgressWriter | undefined
  #log: AttemptLog | undefined

  constructor(handler: Handler, task: Task, context: Context) {
    this.#handler = handler
    this.#task = task
    this.#context = context
  }

  progress(progress: Progress): void {
    this.#progress ??= new ProgressWriter(latest => this.#context.host.progress(latest))
    this.#progress.write(progress)
  }

  log(message: unknown, level: unknown): void {
    this.#log ??= this.#makeLog()
    this.#log.add(message, level)
  }

  end(): void {
    this.#context.signal.removeEventListener('abort', this.#onAbort)
    this.#progress?.flush()
    this.#log?.flush()
  }

  #makeLog(): AttemptLog {
    const { host, signal } = this.#context
    const attempts = { attempt: this.#task.attempt, of: this.#handler.type.policy.attempts }
    // Its process may be ended before it returns.
    signal.addEventListener('abort', this.#onAbort)
    return new AttemptLog(attempts, (level, message) => host.log(level, message))
  }
}

interface JobContext extends Context {
  readonly notes: Notes
  readonly suspend: (waits: readonly WaitRequest[]) => void
}

function makeJob(task: Task, { host, signal, notes, suspend }: JobContext): Job {
  // Made on first use: few handlers need them.
  let steps: Steps | undefined
  let waits: AttemptWaits | undefined
  let children: AttemptChildren | undefined
  const useSteps = () => {
    steps ??= new Steps({
      recorded: () => host.steps(),
      record: (name, value) => host.recordStep(name, value),
      run: async (name, work) => {
        const subject = { operation: task.type, id: task.id, attempt: task.attempt, detail: name }
        return toJson(await inSpan('step', subject, async () => await work()), `The outcome of step "${name}"`)
      },
    })
    return steps
  }
  const useWaits = () => {
    const { id, waits: before, isRetry, claimedAt, publicUrl } = task
    const known = { id, before, isRetry, claimedAt, publicUrl }
    waits ??= new AttemptWaits({ ...known, steps: useSteps(), signal, family: () => host.family(), suspend })
    return waits
  }
  const useChildren = () => {
    children ??= new AttemptChildren({ parent: task, host, signal, steps: useSteps(), waits: useWaits() })
    return children
  }
  return {
    id: task.id,
    attempt: task.attempt,
    signal,
    traceparent: task.traceparent ?? undefined,
    progress: (fraction, message) => notes.progress(readProgress(fraction, message)),
    log: (message, level = 'info') => notes.log(message, level),
    step: async <T>(name: string, work: () => T | Promise<T>): Promise<T> => (await useSteps().step(name, work)) as T,
    sleep: async (name, duration) => await useWaits().sleep(name, duration),
    event: async <S>(name: string, options?: EventOptions<S>) => (await useWaits().event(name, options)) as OutputOf<S>,
    callbackUrl: async name => await useWaits().callbackUrl(name),
    ask: async <S>(name: string, options: AskOptions<S>) => (await useWaits().ask(name, options)) as OutputOf<S>,
    askModel: async (name: string, options: AskModelOptions) => await useWaits().askModel(name, options),
    submit: async <T extends AnyOperationType>(type: T, input: OperationInput<T>, options?: ChildOptions) =>
      (await useChildren().submit(type, input, options)) as Child<OperationOutput<T>>,
    all: async <Children extends readonly Child[]>(children: Children) =>
      (await useChildren().all(children)) as ChildResults<Children>,
    settled: async children => await useChildren().settled(children),
    allSettled: async <Children extends readonly Child[]>(children: Children) =>
      (await useChildren().allSettled(children)) as SettledChildren<Children>,
  }
}

function readProgress(fraction: number, message: string | undefined): Progress {
  if (typeof fraction !== 'number' || Number.isNaN(fraction)) {
    throw new TypeError(`The progress must be a number from 0 to 1, not ${String(fraction)}.`)
  }
  const clamped = Math.min(Math.max(fraction, 0), 1)
  return message === undefined ? { fraction: clamped } : { fraction: clamped, message: String(message).slice(0, 500) }
}

/**
 * JSON text of a value. What JSON cannot express becomes null, as it does inside arrays.
 *
 * @throws {ProblemError} for a value that is not JSON or too large. The next attempt would return the same, so the
 * failure is final
 */
function toJson(value: unknown, what: string): string {
  const json = stringify(value, what)
  // A character takes at most three bytes.
  if (json.length * 3 > MAX_JSON_BYTES && Buffer.byteLength(json) > MAX_JSON_BYTES) throw tooLarge(what)
  return json
}

function stringify(value: unknown, what: string): string {
  try {
    return JSON.stringify(value) ?? 'null'
  } catch (cause) {
    // The longest string that the engine can hold.
    if (cause instanceof RangeError && cause.message === 'Invalid string length') throw tooLarge(what)
    throw problemError('invalid-output', `${what} cannot be written as JSON.`, { cause })
  }
}

function tooLarge(what: string): ProblemError {
  return problemError('output-too-large', `${what} takes more than ${MAX_JSON_BYTES / 1024 / 1024} MiB as JSON.`)
}
