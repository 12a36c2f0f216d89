/** What the admin API sends, as its sources declare it. */
export type { Session } from '../../src/http/admin/operator-session.ts'
export type { TypeView } from '../../src/http/admin/types.ts'
export type { Problem } from '../../src/model/protocol.ts'
export type {
  AuditEntry,
  BulkAction,
  BulkPreview,
  BulkRun,
  ChildrenPage,
  OperationDetail,
  OperationView,
  OperatorPage,
  Percentiles,
  ResultsPage,
  SeriesPoint,
  Statistics,
  TypeStatistics,
  WorkerView,
} from '../../src/operator/views.ts'
export type { ChildState, LogLine } from '../../src/stores/store.ts'
