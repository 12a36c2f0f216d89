/**
 * Waybill without a server: the service that accepts, finds and cancels operations, and what does the work.
 *
 * @example
 * const waybill = createWaybill({
 *   operations: [orders],
 *   store: sqliteStore({ path: 'orders.db' }),
 *   worker: { handlers: './processor.ts' },
 * })
 * await waybill.start()
 * const { operation } = await waybill.operations.submit(orders, { input: { customer: 'Ada', items: [] } })
 * console.log(operation.status)
 */
export type { SubmitRequest } from './model/submit-request.ts'
export { FilterError, formatFilter, parseFilter } from './operator/filter.ts'
export type { Operator, PageRequest } from './operator/operator.ts'
export type {
  Actor,
  AuditEntry,
  BulkAction,
  BulkPreview,
  BulkRun,
  BulkTarget,
  ChildrenPage,
  OperationDetail,
  OperationView,
  OperatorPage,
  Percentiles,
  ResultsPage,
  Selection,
  SeriesPoint,
  Statistics,
  TypeStatistics,
  WorkerView,
} from './operator/views.ts'
export type { ScheduleOptions } from './schedules/schedules.ts'
export type { DirectCalls, OwnerOption, WaitOptions } from './service/direct.ts'
export type { ListRequest, Operations, Submitted } from './service/operations.ts'
export type { OperatorFilter } from './stores/store.ts'
export type { Logger } from './util/logger.ts'
export {
  type AutoscaleOptions,
  createWaybill,
  type DispatcherOptions,
  type Waybill,
  type WaybillOptions,
  type WorkerOptions,
} from './waybill.ts'
