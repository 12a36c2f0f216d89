/** Typed methods for the program that hosts the service. They act for one owner, and need no HTTP. */

import { type Duration, durationMs, LONGEST_MS } from '../model/duration.ts'
import type { Operation } from '../model/operation.ts'
import type { AnyOperationType, OperationInput, OperationOutput } from '../model/operation-type.ts'
import { ProblemError, problem, problemError } from '../model/problem.ts'
import { isFinal } from '../model/protocol.ts'
import type { SubmitRequest } from '../model/submit-request.ts'
import type { Operations } from './operations.ts'

/** The owner for whom a call acts. */
export interface OwnerOption {
  /** The owner of the operations. Default: the empty string, which stands for no owner in particular. */
  readonly owner?: string | undefined
}

/** Options of {@link DirectCalls.wait}. */
export interface WaitOptions extends OwnerOption {
  /** The longest wait, up to 10 years. Default: until the operation has ended. */
  readonly timeout?: Duration | undefined
  /** Ends the wait. */
  readonly signal?: AbortSignal | undefined
}

/** Submits, waits for, reads and cancels operations, without HTTP. */
export interface DirectCalls {
  /**
   * Submits an operation, as a POST does. When the promise resolves, it is durable.
   *
   * @throws {ProblemError} `invalid-input` and the others of {@link Operations.submit}
   */
  submit<Type extends AnyOperationType>(
    type: Type,
    input: OperationInput<Type>,
    options?: Omit<SubmitRequest, 'input' | 'text'>,
  ): Promise<Operation>
  /**
   * Waits until an operation has ended.
   *
   * @returns the operation as it is when it has ended, the time is up, or the signal aborts
   * @throws {ProblemError} `not-found`, `operation-expired`
   */
  wait(id: string, options?: WaitOptions): Promise<Operation>
  /**
   * Reads the output of a completed operation.
   *
   * @throws {ProblemError} the problem of an operation that failed or was canceled; or `not-finished`, `not-found`,
   * `operation-expired`
   * @throws {TypeError} for a result that is not JSON: read it with {@link Operations.content}
   */
  result<Type extends AnyOperationType>(type: Type, id: string, options?: OwnerOption): Promise<OperationOutput<Type>>
  /**
   * Cancels an operation, as its owner does.
   *
   * @throws {ProblemError} `not-found`, `operation-expired`, `operation-finished`
   */
  cancel(id: string, options?: OwnerOption): Promise<Operation>
}

/** A long wait is made of waits of this length, in milliseconds: a timer cannot run for years. */
const WAIT_MS = 30_000

/** Makes the calls. */
export function directCalls(operations: Operations): DirectCalls {
  return {
    submit: async (type, input, options = {}) => (await operations.submit(type, { ...options, input })).operation,
    wait: async (id, { owner = '', timeout, signal = AbortSignal.any([]) } = {}) => {
      const limit = timeout === undefined ? LONGEST_MS : durationMs('timeout', timeout, { max: LONGEST_MS })
      const until = performance.now() + limit
      let operation = await operations.find(id, owner)
      for (let left = limit; left > 0 && !isFinal(operation.status); left = until - performance.now()) {
        if (signal.aborted || operations.draining) break
        const ms = Math.min(left, WAIT_MS)
        await operations.wait(operation, ({ status }) => isFinal(status), { ms, signal })
        operation = await operations.find(id, owner)
      }
      return operation
    },
    result: async <Type extends AnyOperationType>(type: Type, id: string, { owner = '' }: OwnerOption = {}) => {
      const operation = await operations.find(id, owner, type)
      if (!isFinal(operation.status)) throw problemError('not-finished')
      if (operation.status !== 'completed') throw new ProblemError(operation.error ?? problem('operation-failed'))
      const output = await operations.output(operation)
      if (typeof output !== 'string') throw new TypeError(`The result of the operation ${id} is not JSON.`)
      return JSON.parse(output) as OperationOutput<Type>
    },
    cancel: (id, { owner = '' } = {}) => operations.cancel(id, owner),
  }
}
