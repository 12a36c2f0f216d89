/**
 * Asynchronous HTTP APIs: declare an operation, write its handler, and get the whole HTTP resource.
 *
 * ```ts
 * export const orders = defineOperation({ name: 'orders', input: Order, output: CompletedOrder, resultKey: 'order' })
 * export default handler(orders, async order => ({ ...order, completedAt: new Date().toISOString() }))
 * await app.register(waybill, { operations: [orders], store, worker: { handlers: './processor.ts' } })
 * ```
 */
export { type BatchOptions, type BatchSummary, type BatchType, batchOf } from './model/batch.ts'
export type { Duration } from './model/duration.ts'
export {
  type AskModelOptions,
  type AskOptions,
  type Child,
  type ChildOptions,
  type EventOptions,
  type Handler,
  type HandlerFunction,
  handler,
  type Job,
  type LogLevel,
} from './model/handler.ts'
export { type Media, type MediaBody, type MediaOptions, media, type Pieces } from './model/media.ts'
export type { Attempt, Operation } from './model/operation.ts'
export {
  type AnyOperationType,
  type Backoff,
  defineOperation,
  type JsonSchema,
  type OperationInput,
  type OperationOutput,
  type OperationResult,
  type OperationType,
  type OperationTypeOptions,
  type Policy,
  type Schema,
  type StandardSchema,
} from './model/operation-type.ts'
export { ProblemError, type ProblemErrorOptions, type ProblemInit } from './model/problem.ts'
export { PROBLEMS, type ProblemCode } from './model/problem-kinds.ts'
export type { Problem, Progress, Status, StatusDocument } from './model/protocol.ts'
export type { ToolContent } from './model/tool.ts'
export { WaitTimeoutError } from './model/wait-timeout-error.ts'
