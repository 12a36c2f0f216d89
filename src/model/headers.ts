/**
 * Every header of the API, described once. CORS and OpenAPI derive from these tables: browsers may send and read a header
 * that is added here, and the OpenAPI document describes it.
 */
import type { JsonSchema, Policy } from './operation-type.ts'

/** The kinds of routes that read headers of a request. */
export type RouteKind =
  | 'submit'
  | 'list'
  | 'status'
  | 'cancel'
  | 'result'
  | 'monitor'
  | 'retry'
  | 'delete'
  | 'attempts'
  | 'deliveries'
  | 'events'
  | 'description'

/** A header of a request. */
export interface RequestHeader {
  /** The routes that read it. */
  readonly routes: readonly RouteKind[]
  /** The part of Waybill that must be configured for the routes to read it. Default: none. */
  readonly needs?: 'webhooks' | 'blobs'
  /** Whether an operation type requires it. Default: none does. */
  readonly requiredBy?: (policy: Policy) => boolean
  readonly description: string
  readonly schema: JsonSchema
  readonly example?: string
}

/** A header of a response. */
export interface DescribedHeader {
  /** Whether scripts of other origins may read it, where CORS allows their origin. Default false. */
  readonly exposed?: true
  readonly description: string
  readonly schema: JsonSchema
}

const STRING: JsonSchema = { type: 'string' }
const URI_REFERENCE: JsonSchema = { type: 'string', format: 'uri-reference' }

/**
 * The headers that routes read from requests, by name. `Accept`, `Authorization` and `Content-Type` are not listed:
 * OpenAPI describes them by other means.
 */
export const REQUEST_HEADERS = {
  'Idempotency-Key': {
    routes: ['submit'],
    requiredBy: ({ requireIdempotencyKey }) => requireIdempotencyKey,
    description:
      '1 to 255 printable ASCII characters in double quotes, such as a UUID. Requests with the same key create one operation.',
    schema: { type: 'string', minLength: 1 },
    example: '"8e03978e-40d5-43e8-bc93-6894a57f9324"',
  },
  'If-Match': {
    routes: [
      'submit',
      'list',
      'status',
      'cancel',
      'result',
      'monitor',
      'retry',
      'delete',
      'attempts',
      'deliveries',
      'events',
      'description',
    ],
    description:
      'Strong ETags, or *. If none of them matches the current ETag, the response is 412 and nothing is changed. ' +
      'The ETag of a status is weak and never matches.',
    schema: STRING,
  },
  'If-None-Match': {
    routes: ['status', 'cancel', 'result', 'description'],
    description:
      'The ETag of the version that the client has. If it is still current, a GET answers 304 without a body.',
    schema: STRING,
  },
  'If-Range': {
    routes: ['result'],
    needs: 'blobs',
    description: 'The ETag of the part that the client has. If the result has another ETag, the whole result is sent.',
    schema: STRING,
  },
  'Last-Event-ID': {
    routes: ['status'],
    description: 'The id of the last event that the client received. The event stream continues after it.',
    schema: STRING,
  },
  'Not-Before': {
    routes: ['submit'],
    description:
      'The work does not begin before this time: an HTTP date, or a date and time of RFC 3339, at most a year ahead. A ' +
      'time that has passed is ignored.',
    schema: STRING,
    example: '2030-01-31T08:00:00Z',
  },
  Prefer: {
    routes: ['submit', 'status'],
    description:
      '"wait=N" delays the response for up to N seconds until there is news. "respond-async" on a status URL answers ' +
      '202 until the operation finishes, and then the result at the same URL. Unknown preferences are ignored (RFC 7240).',
    schema: STRING,
    example: 'wait=30',
  },
  Range: {
    routes: ['result'],
    needs: 'blobs',
    description: 'One range of bytes of a result that is not JSON (RFC 9110, 14).',
    schema: STRING,
    example: 'bytes=0-1023',
  },
  'Webhook-Url': {
    routes: ['submit'],
    needs: 'webhooks',
    description: 'An https URL that receives a webhook when the operation finishes.',
    schema: { type: 'string', format: 'uri' },
  },
  traceparent: {
    routes: ['submit'],
    description: 'W3C trace context. It is stored with the operation, and the handler continues the trace.',
    schema: STRING,
  },
} satisfies Readonly<Record<string, RequestHeader>>

/** Further request headers, which only surfaces (such as `http/mcp/`) read. */
export const SURFACE_REQUEST_HEADERS: readonly string[] = [
  'MCP-Protocol-Version',
  'Mcp-Method',
  'Mcp-Name',
  'Mcp-Session-Id',
]

/** The headers that responses carry, by name. */
export const RESPONSE_HEADERS = {
  'Accept-Encoding': { schema: STRING, description: 'The content codings that a request body may have: none.' },
  'Accept-Ranges': { exposed: true, schema: STRING, description: '"bytes": a GET may request a part of the result.' },
  'Cache-Control': { schema: STRING, description: 'Which caches may keep the response.' },
  'Content-Disposition': { exposed: true, schema: STRING, description: 'The file name of the result (RFC 6266).' },
  'Content-Location': {
    exposed: true,
    schema: URI_REFERENCE,
    description: 'The result URL that this response is for.',
  },
  'Content-Range': { exposed: true, schema: STRING, description: 'Which part this is, and the length of the whole.' },
  'Content-Security-Policy': { schema: STRING, description: 'What the page may load: nothing.' },
  ETag: { exposed: true, schema: STRING, description: 'The version. Send it back in If-None-Match.' },
  Expires: {
    exposed: true,
    schema: STRING,
    description: 'When the operation and its result are deleted, as an HTTP date.',
  },
  'Idempotency-Replayed': {
    exposed: true,
    schema: { type: 'string', enum: ['true'] },
    description: 'The Idempotency-Key was used before: this is the operation that it created then.',
  },
  Link: {
    exposed: true,
    schema: STRING,
    description: 'Related resources (RFC 8288): the next page, or the status of an unfinished operation.',
  },
  Location: {
    exposed: true,
    schema: URI_REFERENCE,
    description: 'The next URL: the status URL, or the result URL of a finished operation.',
  },
  'Operation-Location': { exposed: true, schema: URI_REFERENCE, description: 'The status monitor for Azure clients.' },
  'Preference-Applied': { exposed: true, schema: STRING, description: 'Which preferences were applied (RFC 7240).' },
  'Referrer-Policy': { schema: STRING, description: 'The page sends no referrer.' },
  'Retry-After': {
    exposed: true,
    schema: { type: 'integer', minimum: 1 },
    description: 'Whole seconds to wait before the next request.',
  },
  Vary: { schema: STRING, description: 'The request headers that the response depends on.' },
  'WWW-Authenticate': { exposed: true, schema: STRING, description: 'How callers authenticate (RFC 9110, 11.6.1).' },
  'X-Accel-Buffering': { schema: STRING, description: '"no" on an event stream, so that proxies do not buffer it.' },
  'X-Content-Type-Options': { schema: STRING, description: '"nosniff": browsers must not guess the media type.' },
  'X-Progress': { exposed: true, schema: STRING, description: 'The progress in short ASCII text.' },
} satisfies Readonly<Record<string, DescribedHeader>>
