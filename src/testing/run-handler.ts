/** Runs one attempt of one handler, to test handlers without a store, a server or waiting. */
import { streamBytes } from '../blobs/byte-streams.ts'
import type { Handler, LogLevel } from '../model/handler.ts'
import type { AttemptError, Outcome } from '../model/operation.ts'
import type { AnyOperationType, OperationInput, OperationOutput } from '../model/operation-type.ts'
import { type Checks, checkOptions, integer, OBJECT, STRING, UNCHECKED, withMethods } from '../model/options.ts'
import { problem } from '../model/problem.ts'
import type { Problem, Progress } from '../model/protocol.ts'
import type { Submission } from '../model/submission.ts'
import { validate } from '../model/validation.ts'
import { eventText, RESERVED_STEPS, type WaitRequest, waitStep } from '../model/waits.ts'
import { runAttempt } from '../worker/attempt.ts'
import { keyWithin } from '../worker/child-key.ts'
import { type Host, StopError } from '../worker/runners/runner.ts'

/** Options of {@link runHandler}. */
export interface RunHandlerOptions {
  /** The number of the attempt, from 1. Default 1. */
  readonly attempt?: number | undefined
  /** The values that steps of earlier attempts have returned, by name. These steps are not run again. Default: none. */
  readonly steps?: Readonly<Record<string, unknown>> | undefined
  /**
   * The values of the events and answers that have arrived, by the name of their wait. A handler that waits for
   * something else is suspended. Default: none.
   */
  readonly events?: Readonly<Record<string, unknown>> | undefined
  /**
   * The results of completed children, by key. A handler that waits for another child is suspended. Default: none.
   */
  readonly children?: Readonly<Record<string, unknown>> | undefined
  /** The names of waits whose time is over: sleeps that have ended, and events that did not come within their timeout. Default: none. */
  readonly waitsOver?: readonly string[] | undefined
  /** Cancels the operation when it is aborted, as a client does. Default: nothing cancels it. */
  readonly signal?: AbortSignal | undefined
  /** The id of the operation. Default: one that is the same in every run. */
  readonly id?: string | undefined
}

/** A result that is not JSON, with its bytes. */
export interface MediaResult {
  readonly type: string
  readonly filename: string | undefined
  readonly bytes: Uint8Array
}

/** An operation that the handler has submitted. */
interface SubmittedChild {
  readonly id: string
  readonly key: string
  /** The name of the operation type. */
  readonly type: string
  readonly input: unknown
}

/** The outcome of one attempt. */
export interface HandlerRun<Output> {
  /**
   * `completed`; `failed` for good; `retry`: the next attempt begins after `retryDelayMs`, if one is left; `canceled`
   * by the signal; `suspended`: it waits for what `waits` lists; `rejected`: the input does not fit the schema, so that
   * no client could submit it.
   */
  readonly outcome: 'completed' | 'failed' | 'retry' | 'canceled' | 'suspended' | 'rejected'
  /** What the handler returned, as clients get it: checked by the schema and read back from JSON. Undefined unless it completed. */
  readonly output: Output | undefined
  /** The bytes of a result that is not JSON. */
  readonly media: MediaResult | undefined
  /** The problem that clients see, in every other outcome. */
  readonly problem: Problem | undefined
  /** What the handler threw, as the history of the operation keeps it for operators. */
  readonly error: AttemptError | undefined
  /** How long the next attempt would wait, in milliseconds. */
  readonly retryDelayMs: number | undefined
  /** The operations that this attempt has submitted, in order. */
  readonly children: readonly SubmittedChild[]
  /** What a suspended handler waits for. */
  readonly waits: readonly WaitRequest[]
  /**
   * The progress that the handler reported, as clients see it: of calls in quick succession, only the first and the
   * last.
   */
  readonly progress: readonly Progress[]
  readonly log: readonly { readonly level: LogLevel; readonly message: string }[]
  /** The value of each step by name, including the given ones. */
  readonly steps: Readonly<Record<string, unknown>>
}

const OPTIONS: Checks<RunHandlerOptions> = {
  attempt: integer(1, 1000),
  steps: OBJECT,
  events: OBJECT,
  children: OBJECT,
  waitsOver: UNCHECKED,
  signal: withMethods('an AbortSignal', 'addEventListener', 'throwIfAborted'),
  id: STRING,
}

const ID = '01890a5d-ac96-774b-bcce-b302099a8057'

/**
 * Runs a handler once, as a worker would: the input is validated, its return value is checked and becomes JSON, and an
 * error becomes an outcome.
 *
 * @throws {TypeError} for invalid options; never for an error of the handler
 *
 * @example
 * import processor from './processor.ts'
 *
 * const run = await runHandler(processor, { customer: 'Ada', items: [{ name: 'Tea', quantity: 4 }] })
 * console.log(run.outcome)
 */
export async function runHandler<Type extends AnyOperationType>(
  handler: Handler<Type>,
  input: OperationInput<Type>,
  options: RunHandlerOptions = {},
): Promise<HandlerRun<OperationOutput<Type>>> {
  checkOptions('runHandler()', options, OPTIONS)
  const { attempt = 1, steps = {}, events = {}, children = {}, waitsOver = [], signal, id = ID } = options
  const record = new Recorder(id, steps, children)
  record.addWaits(events, waitsOver)
  const checked = await validate(handler.type.input, input)
  if (checked.errors !== undefined) {
    return record.run({ outcome: 'rejected', problem: problem('invalid-input', undefined, { errors: checked.errors }) })
  }
  const task = {
    id,
    type: handler.type.name,
    owner: '',
    attempt,
    failedBefore: attempt - 1,
    isRetry: false,
    claimedAt: Date.now(),
    deadline: null,
    waits: { open: [], received: Object.keys(events) },
    publicUrl: 'https://api.example.com',
    input: JSON.stringify(input ?? null),
    traceparent: null,
  }
  return record.run(toEnd(await runAttempt(handler, task, { host: record.host, signal: cancelBy(signal) })))
}

type End<Output> = Pick<HandlerRun<Output>, 'outcome'> &
  Partial<Pick<HandlerRun<Output>, 'output' | 'problem' | 'error' | 'retryDelayMs' | 'waits'>>

function toEnd<Output>(outcome: Outcome): End<Output> {
  switch (outcome.kind) {
    case 'completed':
      return { outcome: 'completed', output: JSON.parse(outcome.output) as Output }
    case 'failed':
      return { outcome: 'failed', problem: outcome.problem, error: outcome.error }
    case 'retry':
      return { outcome: 'retry', problem: outcome.problem, error: outcome.error, retryDelayMs: outcome.delayMs }
    case 'canceled':
      return { outcome: 'canceled', problem: outcome.problem }
    case 'suspended':
      return { outcome: 'suspended', waits: outcome.waits }
    case 'released':
      throw new Error('Only a worker that shuts down releases an attempt.')
  }
}

function cancelBy(signal: AbortSignal | undefined): AbortSignal {
  const controller = new AbortController()
  const cancel = () => controller.abort(new StopError('CanceledError'))
  if (signal?.aborted) cancel()
  else signal?.addEventListener('abort', cancel, { once: true })
  return controller.signal
}

/** Receives the reports of an attempt. */
class Recorder {
  readonly #progress: Progress[] = []
  readonly #log: { level: LogLevel; message: string }[] = []
  readonly #steps: Map<string, string>
  readonly #results: Readonly<Record<string, unknown>>
  readonly #submitted: SubmittedChild[] = []
  #media: MediaResult | undefined
  readonly #id: string

  /** @param results of children, by their keys */
  constructor(id: string, steps: Readonly<Record<string, unknown>>, results: Readonly<Record<string, unknown>>) {
    this.#id = id
    this.#results = results
    this.#steps = new Map(Object.entries(steps).map(([name, value]) => [name, JSON.stringify(value ?? null)]))
  }

  /** The ends of waits of earlier attempts. */
  addWaits(events: Readonly<Record<string, unknown>>, over: readonly string[]): void {
    for (const name of over) this.#steps.set(waitStep(name), JSON.stringify({ at: 0 }))
    for (const [name, value] of Object.entries(events)) {
      this.#steps.set(waitStep(name), eventText(JSON.stringify(value ?? null), 0))
    }
  }

  get host(): Host {
    return {
      progress: progress => void this.#progress.push(progress),
      log: (level, message) => void this.#log.push({ level, message }),
      steps: async () => this.#steps,
      recordStep: async (name, value) => void this.#steps.set(name, value),
      submit: async children => children.map(child => this.#submit(child)),
      family: async () => ({
        unfinished: this.#submitted.flatMap(({ key, id }) => (Object.hasOwn(this.#results, key) ? [] : [id])),
        told: 0,
      }),
      childEnds: async ids => ids.map(() => ({ status: 'completed', at: 0 })),
      childOutput: async id => {
        const child = this.#submitted.find(it => it.id === id)
        const result = child && this.#results[child.key]
        return JSON.stringify(result ?? null)
      },
      upload: async media => {
        this.#media = {
          type: media.type,
          filename: media.filename,
          bytes: await readBytes(streamBytes(media.body)),
        }
        return 'null'
      },
    }
  }

  #submit({ id, type, input, idempotencyKey }: Submission): string {
    const key = keyWithin(this.#id, idempotencyKey ?? '')
    this.#submitted.push({ id, key, type, input: JSON.parse(input) as unknown })
    return id
  }

  run<Output>(end: End<Output>): HandlerRun<Output> {
    return {
      output: undefined,
      problem: undefined,
      error: undefined,
      retryDelayMs: undefined,
      waits: [],
      ...end,
      media: this.#media,
      progress: this.#progress,
      log: this.#log,
      children: this.#submitted,
      steps: Object.fromEntries(
        [...this.#steps]
          .filter(([name]) => !name.startsWith(RESERVED_STEPS))
          .map(([name, value]) => [name, JSON.parse(value) as unknown]),
      ),
    }
  }
}

async function readBytes(bytes: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  for await (const piece of bytes) pieces.push(piece)
  return Buffer.concat(pieces)
}
