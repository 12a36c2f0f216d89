/** Operations as the tasks of MCP: `tasks/get` and `tasks/cancel`, and the task that a call becomes. */
import type { Operation } from '../model/operation.ts'
import { ProblemError, problemError } from '../model/problem.ts'
import { isFinal, linksOf, type Status, type StatusDocument } from '../model/protocol.ts'
import type { Operations } from '../service/operations.ts'
import { type Members, RpcError, stringParam } from './json-rpc.ts'
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

export class Tasks {
  readonly #operations: Operations
  readonly #tools: Tools
  readonly #base: string

  /** @param base what stands before the URLs of results that are not JSON */
  constructor(operations: Operations, tools: Tools, base: string) {
    this.#operations = operations
    this.#tools = tools
    this.#base = base
  }

  /** `tasks/get` */
  async get(request: McpRequest): Promise<Members> {
    return await this.detail(await this.#find(request))
  }

  /** `tasks/cancel`. A task that has ended is acknowledged too. */
  async cancel(request: McpRequest): Promise<Members> {
    const { id } = await this.#find(request)
    await this.#operations.cancel(id, request.http.owner).catch(ignoreFinished)
    return {}
  }

  /**
   * The operation of a task.
   *
   * @throws {ProblemError} `not-found`, also where its type is not a tool, and `operation-expired`
   */
  async find(taskId: string, owner: string): Promise<Operation> {
    const operation = await this.#operations.find(taskId, owner)
    if (this.#tools.ofType(operation.type) === undefined) throw problemError('not-found')
    return operation
  }

  /** The task of an operation, without what has come of it. */
  async summary(operation: Operation): Promise<Members> {
    const document = await this.#operations.document(operation, linksOf(this.#base, operation.type, operation.id))
    return taskOf(operation, document)
  }

  /** The task of an operation, with its result or its error where it has ended. */
  async detail(operation: Operation): Promise<Members> {
    const task = await this.summary(operation)
    if (!isFinal(operation.status) || operation.status === 'canceled') return task
    try {
      return { ...task, status: 'completed', result: await toolResult(this.#operations, operation, this.#base) }
    } catch (error) {
      if (!(error instanceof RpcError)) throw error
      const { code, message, data } = error
      return { ...task, status: 'failed', error: { code, message, data } }
    }
  }

  #find({ params, http }: McpRequest): Promise<Operation> {
    return this.find(stringParam(params, 'taskId'), http.owner)
  }
}

function taskOf(operation: Operation, document: StatusDocument): Members {
  const { createdAt, updatedAt, expiresAt, retryAfter } = document
  return {
    taskId: operation.id,
    status: STATUSES[operation.status],
    statusMessage: messageOf(document),
    createdAt,
    lastUpdatedAt: updatedAt,
    // The time that a result is kept counts from the end here, and from the beginning there.
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
