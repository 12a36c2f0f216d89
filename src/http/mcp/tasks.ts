/** Operations as the tasks of MCP: `tasks/get` and `tasks/cancel`, and the task that a call becomes. */
import type { Operation } from '../../model/operation.ts'
import { ProblemError, problemError } from '../../model/problem.ts'
import { isFinal, linksOf, type Status, type StatusDocument } from '../../model/protocol.ts'
import type { Wait } from '../../model/waits.ts'
import type { Operations } from '../../service/operations.ts'
import { type Members, type RequestId, RpcError, stringParam } from './json-rpc.ts'
import { giveAnswers, inputRequests, questionsOf, readResponseId } from './questions.ts'
import type { McpRequest } from './request.ts'
import { describeProblem, toolResult } from './results.ts'
import type { Tools } from './tools.ts'

const STATUSES: Readonly<Record<Status, string>> = {
  pending: 'working',
  running: 'working',
  completed: 'completed',
  failed: 'failed',
  canceled: 'cancelled',
}

/** What the client can be asked. A client that cannot be asked a question sees the task as working. */
type Asking = Pick<McpRequest, 'asks'>

export class Tasks {
  readonly #operations: Operations
  readonly #tools: Tools
  readonly #base: string

  /** @param base what comes before the URLs of results that are not JSON */
  constructor(operations: Operations, tools: Tools, base: string) {
    this.#operations = operations
    this.#tools = tools
    this.#base = base
  }

  /** `tasks/get` */
  async get(request: McpRequest): Promise<Members> {
    return await this.detail(await this.ofRequest(request), request)
  }

  /** `tasks/update`: answers to questions, all or some. */
  async update(request: McpRequest): Promise<Members> {
    const { owner } = request.http
    const operation = await this.ofRequest(request)
    await giveAnswers(this.#operations, operation, { responses: request.params.inputResponses, owner })
    return {}
  }

  /**
   * Handles the response to a question that was sent as a request; other responses are ignored. If the client declines
   * or cannot answer, its waiting call is canceled, since no one else knows the call.
   *
   * @param result undefined for an error
   */
  async respond(id: RequestId, result: Members | undefined, owner: string): Promise<void> {
    const asked = readResponseId(id)
    if (asked === undefined) return
    const operation = await this.find(asked.taskId, owner)
    const responses = { [asked.name]: result }
    const isDeclined = result === undefined || (await giveAnswers(this.#operations, operation, { responses, owner }))
    if (isDeclined && asked.isHeld) await this.#operations.cancel(operation.id, owner).catch(ignoreFinished)
  }

  /** `tasks/cancel`. A task that has ended is acknowledged too. */
  async cancel(request: McpRequest): Promise<Members> {
    const { id } = await this.ofRequest(request)
    await this.#operations.cancel(id, request.http.owner).catch(ignoreFinished)
    return {}
  }

  /**
   * Finds the operation of a task.
   *
   * @throws {ProblemError} `not-found`, also where its type is not a tool, and `operation-expired`
   */
  async find(taskId: string, owner: string): Promise<Operation> {
    const operation = await this.#operations.find(taskId, owner)
    if (this.#tools.ofType(operation.type) === undefined) throw problemError('not-found')
    return operation
  }

  /** The task of an operation, without its result. */
  async summary(operation: Operation, { asks }: Asking): Promise<Members> {
    const document = await this.#operations.document(operation, linksOf(this.#base, operation.type, operation.id))
    return taskOf(operation, document, questionsOf(operation, asks))
  }

  /** The task of an operation, with its questions, or with its result or error if it has ended. */
  async detail(operation: Operation, asking: Asking): Promise<Members> {
    const task = await this.summary(operation, asking)
    if (task.status === 'input_required')
      return { ...task, inputRequests: inputRequests(questionsOf(operation, asking.asks)) }
    if (!isFinal(operation.status) || operation.status === 'canceled') return task
    try {
      const result = await toolResult(this.#operations, operation, this.#base)
      // The same answer as the call itself would have got.
      return { ...task, status: 'completed', result: { resultType: 'complete', ...result } }
    } catch (error) {
      if (!(error instanceof RpcError)) throw error
      const { code, message, data } = error
      return { ...task, status: 'failed', error: { code, message, data } }
    }
  }

  /** The operation of the task that a request names; see {@link find}. */
  async ofRequest({ params, http }: McpRequest): Promise<Operation> {
    return await this.find(stringParam(params, 'taskId'), http.owner)
  }
}

function taskOf(operation: Operation, document: StatusDocument, questions: readonly Wait[]): Members {
  const { createdAt, updatedAt, expiresAt, retryAfter } = document
  return {
    taskId: operation.id,
    status: questions.length > 0 ? 'input_required' : STATUSES[operation.status],
    statusMessage: questions[0]?.message ?? messageOf(document),
    createdAt,
    lastUpdatedAt: updatedAt,
    // The retention counts from the end in Waybill, and from the beginning in MCP.
    ttlMs: expiresAt === undefined ? null : Date.parse(expiresAt) - Date.parse(createdAt),
    pollIntervalMs: retryAfter === 0 ? undefined : retryAfter * 1000,
  }
}

function messageOf({ error, progress, waitingFor }: StatusDocument): string | undefined {
  if (error !== undefined) return describeProblem(error)
  return progress?.message ?? waitingFor
}

function ignoreFinished(error: unknown): void {
  if (!(error instanceof ProblemError) || error.problem.code !== 'operation-finished') throw error
}
