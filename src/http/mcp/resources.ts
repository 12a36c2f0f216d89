/** The resources that clients can subscribe to: each is what an operation makes, so its changes are its updates. */
import type { Operation } from '../../model/operation.ts'
import { ProblemError } from '../../model/problem.ts'
import type { Operations } from '../../service/operations.ts'

/** The notification that a resource has changed. */
export const RESOURCE_UPDATED = 'notifications/resources/updated'

/** The caller of a method, as `principal` names it. */
export interface McpCaller {
  readonly owner: string
  readonly signal: AbortSignal
}

/** Names the operation behind a resource. */
export type OperationOf = (uri: string, caller: McpCaller) => string | undefined | Promise<string | undefined>

export class Resources {
  readonly #operations: Operations
  readonly #operationOf: OperationOf

  constructor(operations: Operations, operationOf: OperationOf) {
    this.#operations = operations
    this.#operationOf = operationOf
  }

  /** The operation behind a resource; undefined where either does not exist, also for this caller. */
  async find(uri: string, { owner, signal }: McpCaller): Promise<Operation | undefined> {
    try {
      const id = await this.#operationOf(uri, { owner, signal })
      return id === undefined ? undefined : await this.#operations.find(id, owner)
    } catch (error) {
      return ignoreUnknown(error)
    }
  }
}

/** @throws the error, unless it says that the caller has no such operation */
export function ignoreUnknown(error: unknown): undefined {
  if (!(error instanceof ProblemError) || error.problem.status >= 500) throw error
}
