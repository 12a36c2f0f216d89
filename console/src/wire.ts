/** What the admin API sends, as its sources declare it. */
export type { TypeView } from '../../src/http/admin/types.ts'
export type { Problem } from '../../src/model/protocol.ts'
export type {
  AuditEntry,
  BulkAction,
  BulkPreview,
  BulkRun,
  OperationDetail,
  OperationView,
  OperatorPage,
  Percentiles,
  SeriesPoint,
  Statistics,
  TypeStatistics,
  WorkerView,
} from '../../src/operator/views.ts'
export type { LogLine } from '../../src/stores/store.ts'

/** Who uses the console, and what it may show. */
export interface Session {
  readonly actor: string
  readonly role: 'viewer' | 'operator'
  readonly payloads: boolean
  readonly token: string
  readonly version: string
  readonly traceUrl?: string
  readonly executionUrl?: string
}
