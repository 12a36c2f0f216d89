/** Runs deliveries: each attempt checks the URL, signs, sends, and evaluates the answer. */

import type { Outcome } from '../model/operation.ts'
import { ProblemError } from '../model/problem.ts'
import { parseRetryAfter } from '../model/protocol.ts'
import type { Logger } from '../util/logger.ts'
import { outcomeOfStop } from '../worker/attempt.ts'
import { type RunContext, type Runner, type RunResult, stopReason, type Task } from '../worker/runners/runner.ts'
import { allowedAddresses, hostOf, readWebhookUrl } from './addresses.ts'
import { DELIVERY_TYPE, type DeliveryInput, type DeliveryOutput } from './delivery.ts'
import { DeliveryError, notDelivered } from './failure.ts'
import type { FairQueue } from './fair-queue.ts'
import { type Answer, post } from './post.ts'
import { signedHeaders } from './signing.ts'
import type { WebhooksSettings } from './webhooks-options.ts'

/** The longest wait that a receiver can ask for with Retry-After. */
const MAX_RETRY_AFTER_MS = 86_400_000
/** Waits are extended by up to this fraction, so that deliveries that failed together are not retried together. */
const JITTER = 0.2
/**
 * How long a delivery waits if the queue is full for its host or owner, in milliseconds; at random up to twice as long.
 */
const LATER_MS = 60_000

export class DeliveryRunner implements Runner {
  readonly #options: WebhooksSettings
  readonly #logger: Logger
  readonly #queue: FairQueue
  readonly #attempts = new Set<AbortController>()

  constructor(options: WebhooksSettings, logger: Logger, queue: FairQueue) {
    this.#queue = queue
    this.#options = options
    this.#logger = logger
  }

  async start(): Promise<readonly string[]> {
    return [DELIVERY_TYPE]
  }

  async run(task: Task, context: RunContext): Promise<RunResult> {
    if (context.signal.aborted) return outcomeOfStop(context.signal.reason, 0)
    const delivery = JSON.parse(task.input) as DeliveryInput
    const to = { owner: delivery.owner, host: hostNamed(delivery.url) }
    if (this.#queue.isFull(to)) return { kind: 'released', delayMs: LATER_MS * (1 + Math.random()) }
    let end: RunResult | undefined
    try {
      await this.#queue.inTurn(to, context.signal, async () => {
        end = await this.#inTime(task, delivery, context)
        return !isUnanswered(end)
      })
    } catch (error) {
      if (!context.signal.aborted) throw error
    }
    return end ?? outcomeOfStop(context.signal.reason, 0)
  }

  /**
   * At a shutdown the attempt continues until {@link close}. To cut it off would only deliver twice what is nearly
   * delivered.
   */
  async #inTime(task: Task, delivery: DeliveryInput, context: RunContext): Promise<RunResult> {
    const controller = new AbortController()
    const timer = setTimeout(
      () => controller.abort(new DeliveryError('timeout', late(this.#options))),
      this.#options.timeoutMs,
    )
    const stop = () => {
      if (stopReason(context.signal) !== 'ShutdownError') controller.abort(context.signal.reason)
    }
    context.signal.addEventListener('abort', stop)
    this.#attempts.add(controller)
    try {
      return await this.#attempt(task, delivery, context, controller.signal)
    } finally {
      this.#attempts.delete(controller)
      context.signal.removeEventListener('abort', stop)
      clearTimeout(timer)
    }
  }

  async close(): Promise<void> {
    for (const controller of this.#attempts) controller.abort()
  }

  async #attempt(task: Task, delivery: DeliveryInput, context: RunContext, signal: AbortSignal): Promise<RunResult> {
    try {
      const answer = await this.#send(delivery, signal)
      return this.#judge(task, answer)
    } catch (error) {
      const cut = signal.aborted && !(signal.reason instanceof DeliveryError)
      if (cut) return outcomeOfStop(context.signal.reason, 0)
      const failure = signal.aborted ? signal.reason : asDeliveryError(error)
      if (failure.reason === 'internal') context.onError(error)
      return this.#failed(task, failure)
    }
  }

  async #send(delivery: DeliveryInput, signal: AbortSignal): Promise<Answer> {
    const { rules, resolve, secretsOf } = this.#options
    const url = readWebhookUrl(delivery.url, rules)
    const prepared = Promise.all([
      allowedAddresses(hostOf(url), { resolve, allowAddress: rules.allowAddress }, { owner: delivery.owner, signal }),
      secretsOf(delivery.owner),
    ])
    const [addresses, secrets] = await unlessAborted(prepared, signal)
    const signed = signedHeaders({ id: delivery.event, body: delivery.body, at: new Date() }, secrets)
    const headers = { 'Content-Type': 'application/json', 'User-Agent': 'Waybill-Webhooks', ...signed }
    return await post({ url, headers, body: delivery.body, addresses, signal }).catch((error: unknown) => {
      throw new DeliveryError('connection', `The receiver did not answer (${codeOf(error)}).`, { cause: error })
    })
  }

  #judge(task: Task, answer: Answer): Outcome {
    const { status } = answer
    if (status >= 200 && status < 300) {
      const output: DeliveryOutput = { answerStatus: status }
      return { kind: 'completed', output: JSON.stringify(output) }
    }
    return this.#failed(task, failureOf(status), answer)
  }

  #failed(task: Task, failure: DeliveryError, answer?: Answer): Outcome {
    const problem = notDelivered(failure, answer?.status)
    const final = failure.reason === 'gone' || failure.reason === 'url'
    if (final || task.failedBefore >= this.#options.retriesMs.length) {
      this.#logger.warn({ delivery: task.id, reason: failure.reason }, 'A webhook was not delivered; giving up')
    }
    return final ? { kind: 'failed', problem } : { kind: 'retry', problem, delayMs: this.#wait(task, answer) }
  }

  #wait({ failedBefore }: Task, answer: Answer | undefined): number {
    const { retriesMs } = this.#options
    const planned = retriesMs[failedBefore] ?? retriesMs.at(-1) ?? 0
    const asked = parseRetryAfter(answer?.retryAfter, answer?.date) ?? 0
    return Math.round(Math.max(planned, Math.min(asked, MAX_RETRY_AFTER_MS)) * (1 + JITTER * Math.random()))
  }
}

/** The host of a URL; also of a URL that is no longer allowed. */
function hostNamed(url: string): string {
  return URL.parse(url)?.host ?? url
}

/** Whether the host caused the failure and did not answer at all. */
function isUnanswered(end: RunResult): boolean {
  if (end.kind !== 'retry') return false
  const { reason } = end.problem
  return reason === 'timeout' || reason === 'connection' || reason === 'address'
}

function late({ timeoutMs }: WebhooksSettings): string {
  return `The receiver did not answer within ${timeoutMs / 1000} s.`
}

function failureOf(status: number): DeliveryError {
  if (status === 410) return new DeliveryError('gone', 'The receiver answered 410: it wants no more webhooks.')
  if (status >= 300 && status < 400) {
    return new DeliveryError('redirect', `The receiver answered ${status}; redirects are not followed.`)
  }
  return new DeliveryError('answer', `The receiver answered ${status}.`)
}

/** A refused URL is reported to the owner; any other fault before the connection is ours. */
function asDeliveryError(error: unknown): DeliveryError {
  if (error instanceof DeliveryError) return error
  if (error instanceof ProblemError) return new DeliveryError('url', 'Its URL is not allowed.', { cause: error })
  return new DeliveryError('internal', 'The delivery could not be made.', { cause: error })
}

function codeOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return typeof code === 'string' ? code : 'the connection broke'
}

async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>()
  const abort = () => aborted.reject(signal.reason)
  signal.addEventListener('abort', abort, { once: true })
  try {
    return await Promise.race([work, aborted.promise])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}
