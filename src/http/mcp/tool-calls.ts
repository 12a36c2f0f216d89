/** `tools/call`: an operation that is waited for, or that becomes a task. */

import type { Operation } from '../../model/operation.ts'
import { ProblemError, problem, problemError } from '../../model/problem.ts'
import { isFinal } from '../../model/protocol.ts'
import type { Requirement } from '../../model/tool.ts'
import type { Wait } from '../../model/waits.ts'
import { awaitsEvent } from '../../service/events.ts'
import type { Operations, Submitted } from '../../service/operations.ts'
import { fieldsOf } from '../../util/fields.ts'
import { header } from '../message.ts'
import { idempotencyKey, traceparent } from '../request-headers.ts'
import { CODES, type Members, RpcError, stringParam } from './json-rpc.ts'
import { Asked, giveAnswers, inputRequests, questionsOf } from './questions.ts'
import { logLevel, progressToken, Report } from './report.ts'
import { type Asks, HEARTBEAT_MS, type McpRequest, type Reply, type ReplyStream, TASKS } from './request.ts'
import { errorResult, faultOf, toolResult } from './results.ts'
import type { Tasks } from './tasks.ts'
import { IDEMPOTENCY_KEY, type Tool, type Tools } from './tools.ts'

/** How long a call waits for the first question of a handler before it becomes a task anyway, in milliseconds. */
const ASK_WITHIN_MS = 30_000

const NOBODY: Asks = { form: false, model: false }

/** What calls need. */
export interface CallsOptions {
  readonly operations: Operations
  readonly tools: Tools
  readonly tasks: Tasks
  /** The prefix of the URLs of results that are not JSON. */
  readonly base: string
  /** How long a call waits before it becomes a task or a stream, in milliseconds. */
  readonly taskAfterMs: number
}

export class Calls {
  readonly #options: CallsOptions

  constructor(options: CallsOptions) {
    this.#options = options
  }

  /** `tools/call` */
  async call(request: McpRequest): Promise<Reply> {
    const tool = this.#toolOf(request)
    const resumed = await this.#resume(tool, request)
    const accepted = resumed ?? (await this.#submit(tool, request))
    if (accepted instanceof ProblemError) return errorResult(accepted.problem)
    return await this.#reply(tool, accepted, request, resumed !== undefined)
  }

  /** The operation of a call that the client requested as a task. */
  async begin(request: McpRequest): Promise<Operation> {
    const accepted = await this.#submit(this.#toolOf(request), request)
    if (accepted instanceof ProblemError) throw accepted
    return accepted.operation
  }

  async #reply(tool: Tool, accepted: Submitted, request: McpRequest, isResumed: boolean): Promise<Reply> {
    const { operations, tasks, taskAfterMs } = this.#options
    const { operation } = accepted
    const becomesTask = request.knowsTasks && tool.task !== 'forbidden'
    const asksFirst = tool.asksFirst && (request.asks.form || request.asks.model) && !isResumed
    const toTask = async (now: Operation) => ({ resultType: 'task', ...(await tasks.summary(now, request)) })
    if (becomesTask && tool.task === 'required' && !asksFirst) return await toTask(operation)
    const wantsStream = progressToken(request) !== undefined || logLevel(request, tool.type) !== undefined
    if (!becomesTask && wantsStream) return this.follow(accepted, request)
    const asks = request.isModern && (!becomesTask || asksFirst) ? request.asks : NOBODY
    // An operation that waits for a person will not end soon.
    const isOver = (now: Operation) =>
      isFinal(now.status) || questionsOf(now, asks).length > 0 || (becomesTask && awaitsEvent(now))
    const { signal } = request.http
    const ms = asksFirst ? ASK_WITHIN_MS : taskAfterMs
    const { operation: now } = await operations.wait(operation, isOver, { ms, signal })
    const questions = questionsOf(now, asks)
    if (questions.length > 0) return inputRequired(now, questions)
    if (becomesTask && tool.task === 'required') return await toTask(now)
    if (isFinal(now.status)) return await this.#result(now)
    return becomesTask ? await toTask(now) : this.follow(accepted, request)
  }

  /**
   * Continues a call that was answered with a question: the client sends the call again, with the answers and the state
   * that names its operation. If the person declines, the operation is canceled, since no one else knows the call.
   */
  async #resume(tool: Tool, { params, http: { owner } }: McpRequest): Promise<Submitted | undefined> {
    const { operations, tasks } = this.#options
    if (params.requestState === undefined) return undefined
    const operation = await tasks.find(stringParam(params, 'requestState'), owner)
    if (operation.type !== tool.type.name) throw problemError('not-found')
    const { inputResponses: responses = {} } = params
    const isDeclined = await giveAnswers(operations, operation, { responses, owner })
    if (isDeclined) await operations.cancel(operation.id, owner)
    return { operation: await tasks.find(operation.id, owner), replayed: true }
  }

  /** @throws {RpcError} for a tool that does not exist, or that this client cannot call */
  #toolOf(request: McpRequest): Tool {
    const name = stringParam(request.params, 'name')
    const tool = this.#options.tools.find(name)
    if (tool === undefined) {
      throw new RpcError(CODES.invalidParams, `Unknown tool: ${JSON.stringify(name)}. tools/list names all tools.`)
    }
    if (!request.isModern) checkLegacyTask(tool, request)
    else if (tool.task === 'required' && !request.knowsTasks) throw missingTasks()
    checkRequirements(tool, request)
    return tool
  }

  /** Returns the errors that the model can fix, and throws all others. */
  async #submit(tool: Tool, request: McpRequest): Promise<Submitted | ProblemError> {
    const { operations } = this.#options
    const { owner } = request.http
    const input = request.params.arguments ?? {}
    try {
      operations.countRequest(tool.type, owner)
      const text = JSON.stringify(input)
      if (Buffer.byteLength(text) > tool.type.policy.bodyLimit) throw problemError('body-too-large')
      return await operations.submit(tool.type, { input, text, owner, ...namesOf(request) })
    } catch (error) {
      if (error instanceof ProblemError && error.problem.status < 500) return error
      throw error
    }
  }

  /**
   * Reports on an operation until it has ended. A client that disconnects cancels it, unless it can repeat the call
   * with its key.
   */
  async *follow({ operation, replayed }: Submitted, request: McpRequest): ReplyStream {
    const { signal, owner } = request.http
    const followed = { now: operation }
    try {
      return yield* this.#untilAnswer(followed, request)
    } finally {
      const isKept = replayed || operation.idempotencyKey !== null || !request.isModern
      const isOver = isFinal(followed.now.status)
      if (!isOver && signal.aborted && !isKept) await this.#options.operations.cancel(operation.id, owner)
    }
  }

  async *#untilAnswer(followed: { now: Operation }, request: McpRequest): ReplyStream {
    const { operations } = this.#options
    const { signal } = request.http
    const report = new Report(operations, request, logLevel(request, operations.types.get(followed.now.type)))
    const asked = new Asked(request)
    for (;;) {
      const { now } = followed
      yield* report.news(now)
      if (isFinal(now.status)) return await this.#result(now)
      const questions = questionsOf(now, request.asks)
      if (questions.length > 0 && request.isModern) return inputRequired(now, questions)
      yield* asked.requests(now, questions)
      if (signal.aborted) return {}
      const isNews = (later: Operation) => report.hasNews(later, now.version)
      const next = await operations.wait(now, isNews, { ms: HEARTBEAT_MS, signal })
      if (!next.waited) throw unattended(now)
      if (next.operation.version === now.version) yield undefined
      followed.now = next.operation
    }
  }

  #result(operation: Operation): Promise<Members> {
    const { operations, base } = this.#options
    return toolResult(operations, operation, base)
  }
}

/** The idempotency key and the trace of a call, from `_meta` or else from the headers. */
function namesOf({ meta, http }: McpRequest): { idempotencyKey: string | undefined; traceparent: string | undefined } {
  const named = { 'idempotency-key': textOf(meta[IDEMPOTENCY_KEY]) ?? header(http, 'Idempotency-Key') }
  const traced = { traceparent: textOf(meta.traceparent) ?? header(http, 'traceparent') }
  return { idempotencyKey: idempotencyKey({ headers: named }), traceparent: traceparent({ headers: traced }) }
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

/** The questions of a handler, instead of a result. Only the owner knows the id of the operation. */
function inputRequired({ id }: Operation, questions: readonly Wait[]): Members {
  return { resultType: 'input_required', inputRequests: inputRequests(questions), requestState: id }
}

/** The server is shutting down, or too many requests wait already. The operation continues anyway. */
function unattended({ id }: Operation): RpcError {
  return faultOf(problem('unavailable', `The call cannot be held any longer; its operation ${id} continues.`))
}

/** In revision 2025-11-25 a client says with each call whether it is to be a task. */
function checkLegacyTask({ name, task }: Tool, { params }: McpRequest): void {
  const isTask = params.task !== undefined
  if (task === 'required' && !isTask) {
    throw new RpcError(CODES.methodNotFound, `The tool ${JSON.stringify(name)} can only be called as a task.`)
  }
  if (task === 'forbidden' && isTask) {
    throw new RpcError(CODES.methodNotFound, `The tool ${JSON.stringify(name)} cannot be called as a task.`)
  }
}

/** The capabilities that a client needs for a request. */
export function missingTasks(): RpcError {
  return missingCapability(`the extension ${TASKS}`, { extensions: { [TASKS]: {} } }, 400)
}

/** A tool may need a client that accepts questions. */
function checkRequirements({ requires }: Tool, { asks, isModern }: McpRequest): void {
  const missing = requires.find(capability => !asks[capability === 'sampling' ? 'model' : 'form'])
  if (missing !== undefined) {
    throw missingCapability(`the capability "${missing}"`, REQUIRED[missing], isModern ? 400 : 200)
  }
}

/** The capabilities as a client declares them. */
const REQUIRED: Readonly<Record<Requirement, Members>> = {
  elicitation: { elicitation: { form: {} } },
  sampling: { sampling: {} },
}

function missingCapability(what: string, requiredCapabilities: Members, status: number): RpcError {
  const message = `The client must declare ${what}.`
  return new RpcError(CODES.missingCapability, message, { data: { requiredCapabilities }, status })
}

/** Whether the capabilities of a client have the extension for tasks. */
export function declaresTasks(capabilities: unknown): boolean {
  return TASKS in fieldsOf(fieldsOf(capabilities).extensions)
}
