/**
 * What an author of a store, a blob store, a launcher, a scale trigger, a dialect or a server needs. `waybill/testing`
 * has the suites that they pass.
 */
export {
  type BlobReference,
  type BlobStore,
  type ByteRange,
  checkBlobKey,
  checkBlobOperation,
  type PutResult,
} from '../blobs/blob-store.ts'
export { createFinalize, type Finalize } from '../http/answers.ts'
export { type CorsOptions, corsHeaders } from '../http/cors.ts'
export type { Dialect, OperationView } from '../http/dialects/dialect.ts'
export {
  assertUncoded,
  errorResponse,
  type HttpRequest,
  type HttpResponse,
  header,
  JSON_MEDIA_TYPE,
  json,
  jsonText,
  problemResponse,
} from '../http/message.ts'
export { type CallerOptions, createIdentify, type Principal } from '../http/principal.ts'
export type { Method, Route } from '../http/route.ts'
export { createRouter, type RouteMatch, type Router } from '../http/router.ts'
export { type ApiOptions, createRoutes } from '../http/routes.ts'
export type { Surface, SurfaceContext } from '../http/surface.ts'
export {
  type ExecutionState,
  type Launcher,
  LaunchRefused,
  type LaunchRequest,
  REFUSAL_REASONS,
  type RefusalReason,
} from '../launchers/launcher.ts'
export type { ScaleTrigger } from '../launchers/scale-trigger.ts'
export { type Change, type ClaimBy, INPUT_LOST, type Operation, type Outcome } from '../model/operation.ts'
export {
  accepted,
  changed,
  claimed,
  expired,
  launching,
  renewed,
  rescheduled,
  SET_BACK_MS,
} from '../model/state-machine.ts'
export type { Submission, SubmissionLimits } from '../model/submission.ts'
export type { DialectContext, DialectDescription, Moment, ResponseObject, Responses } from '../openapi/model.ts'
export * from '../stores/store.ts'
