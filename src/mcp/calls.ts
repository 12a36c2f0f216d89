/** `tools/call`: an operation that is waited for, or that becomes a task. */
import { header } from '../http/message.ts'
import { idempotencyKey, traceparent } from '../http/request-headers.ts'
import type { Operation } from '../model/operation.ts'
import { ProblemError, problem, problemError } from '../model/problem.ts'
import { isFinal } from '../model/protocol.ts'
import type { Operations, Submitted } from '../service/operations.ts'
import { CODES, type Members, membersOf, RpcError, stringParam } from './json-rpc.ts'
import { logLevel, progressToken, Report } from './report.ts'
import { HEARTBEAT_MS, type McpRequest, type Reply, type ReplyStream, TASKS } from './request.ts'
import { errorResult, faultOf, toolResult } from './results.ts'
import type { Tasks } from './tasks.ts'
import { IDEMPOTENCY_KEY, type Tool, type Tools } from './tools.ts'

/** What calls are made of. */
export interface CallsOptions {
  readonly operations: Operations
  readonly tools: Tools
  readonly tasks: Tasks
  /** What stands before the URLs of results that are not JSON. */
  readonly base: string
  /** How long a call is held before it becomes a task or a stream, in milliseconds. */
  readonly taskAfterMs: number
}

export class Calls {
  readonly #options: CallsOptions

  constructor(options: CallsOptions) {
    this.#options = options
  }

  /** `tools/call` */
  async call(request: McpRequest): Promise<Reply> {
    const { operations, tasks, taskAfterMs } = this.#options
    const tool = this.#toolOf(request)
    const accepted = await this.#submit(tool, request)
    if (accepted instanceof ProblemError) return errorResult(accepted.problem)
    const { operation } = accepted
    const becomesTask = request.knowsTasks && tool.task !== 'forbidden'
    if (becomesTask && tool.task === 'required') return { resultType: 'task', ...(await tasks.summary(operation)) }
    const wantsStream = progressToken(request) !== undefined || logLevel(request, tool) !== undefined
    if (!becomesTask && wantsStream) return this.#follow(tool, accepted, request)
    const { signal } = request.http
    const { operation: now } = await operations.wait(operation, isOver, { ms: taskAfterMs, signal })
    if (isFinal(now.status)) return await this.#result(now)
    if (becomesTask) return { resultType: 'task', ...(await tasks.summary(now)) }
    return this.#follow(tool, accepted, request)
  }

  /** @throws {RpcError} for a tool that is not there, or that this client cannot call */
  #toolOf(request: McpRequest): Tool {
    const name = stringParam(request.params, 'name')
    const tool = this.#options.tools.find(name)
    if (tool === undefined || (tool.task === 'required' && !request.isModern)) {
      throw new RpcError(CODES.invalidParams, `Unknown tool: ${JSON.stringify(name)}. tools/list names all tools.`)
    }
    if (tool.task === 'required' && !request.knowsTasks) throw missingTasks()
    return tool
  }

  /** What the model can fix is given back; everything else is thrown. */
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

  /** Reports on an operation until it has ended. A client that leaves cancels it, unless it can come back with its key. */
  async *#follow(tool: Tool, { operation, replayed }: Submitted, request: McpRequest): ReplyStream {
    const { operations } = this.#options
    const { signal, owner } = request.http
    const report = new Report(operations, request, logLevel(request, tool))
    let now = operation
    try {
      for (;;) {
        yield* report.news(now)
        if (isFinal(now.status)) return await this.#result(now)
        if (signal.aborted) return {}
        const seen = now.version
        const next = await operations.wait(now, later => report.hasNews(later, seen), { ms: HEARTBEAT_MS, signal })
        if (!next.waited) throw unattended(now)
        if (next.operation.version === seen) yield undefined
        now = next.operation
      }
    } finally {
      const isKept = replayed || operation.idempotencyKey !== null || !request.isModern
      if (!isFinal(now.status) && signal.aborted && !isKept) await operations.cancel(now.id, owner)
    }
  }

  #result(operation: Operation): Promise<Members> {
    const { operations, base } = this.#options
    return toolResult(operations, operation, base)
  }
}

function isOver({ status }: Operation): boolean {
  return isFinal(status)
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

/** The server is shutting down, or too many requests wait already. The operation goes on all the same. */
function unattended({ id }: Operation): RpcError {
  return faultOf(problem('unavailable', `The call cannot be held any longer; its operation ${id} goes on.`))
}

/** What a client must know to make a request. */
export function missingTasks(): RpcError {
  const data = { requiredCapabilities: { extensions: { [TASKS]: {} } } }
  return new RpcError(CODES.missingCapability, `The client must declare the extension ${TASKS}.`, { data, status: 400 })
}

/** Whether the capabilities of a client have the extension for tasks. */
export function declaresTasks(capabilities: unknown): boolean {
  return TASKS in membersOf(membersOf(capabilities).extensions)
}
