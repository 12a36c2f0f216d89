/**
 * What an author of a store, a blob store, a launcher, a scale trigger, a dialect or a server needs. `waybill/testing` has the suites
 * that they pass.
 */
export * from '../blobs/blob-store.ts'
export { type CorsOptions, corsHeaders } from '../http/cors.ts'
export type { Dialect, OperationView } from '../http/dialects/dialect.ts'
export * from '../http/message.ts'
export { type CallerOptions, createIdentify, type Principal } from '../http/principal.ts'
export { createRouter, type RouteMatch, type Router } from '../http/router.ts'
export { type ApiOptions, createRoutes, type Method, type Route } from '../http/routes.ts'
export * from '../launchers/launcher.ts'
export type { ScaleTrigger } from '../launchers/scale-trigger.ts'
export type { DialectContext, DialectDescription, Moment, ResponseObject, Responses } from '../openapi/model.ts'
export * from '../stores/store.ts'
