/**
 * Every problem (RFC 9457) that Waybill itself reports: its code, its HTTP status, its title
 * and how to fix it. docs/reference/problems.md is generated from this table, and a test compares them.
 */

/** One kind of problem. */
export interface ProblemKind {
  /** The HTTP status it is sent with. */
  readonly status: number
  readonly title: string
  /** What the client can do about it. It ends every `detail`. */
  readonly cure: string
}

/**
 * The kinds, by code. A code never changes its meaning.
 *
 * @example
 * console.log(PROBLEMS['not-found'].status)
 */
export const PROBLEMS = {
  'invalid-json': {
    status: 400,
    title: 'The body is not valid JSON',
    cure: 'Send one JSON value in UTF-8, nested at most 100 levels deep, without the keys "__proto__" and "constructor.prototype".',
  },
  'invalid-input': {
    status: 400,
    title: 'The input does not match the schema',
    cure: 'Fix the fields listed in "errors" and send the request again.',
  },
  'invalid-idempotency-key': {
    status: 400,
    title: 'The Idempotency-Key is invalid',
    cure: 'Send one key of 1 to 255 printable ASCII characters in double quotes, such as a UUID.',
  },
  unauthenticated: {
    status: 401,
    title: 'Authentication required',
    cure: 'Send the credentials that this API accepts; WWW-Authenticate names the scheme.',
  },
  forbidden: {
    status: 403,
    title: 'Permission denied',
    cure: 'Ask the operator of this API for permission.',
  },
  'cross-origin': {
    status: 403,
    title: 'The change comes from a page of another origin',
    cure: 'Make the change from the console of this API.',
  },
  'admin-token-invalid': {
    status: 403,
    title: 'The token of the session is missing or invalid',
    cure: 'Read "token" of GET /admin/session and send it as waybill-token.',
  },
  'idempotency-key-required': {
    status: 400,
    title: 'An Idempotency-Key is required',
    cure: 'Send an Idempotency-Key header, such as a UUID in double quotes, and send the same key when you retry the request.',
  },
  'idempotency-key-reused': {
    status: 422,
    title: 'The Idempotency-Key was used with a different body',
    cure: 'Send a new key for a new request; reuse a key only with the same body.',
  },
  'invalid-request': {
    status: 400,
    title: 'The request is invalid',
    cure: 'Fix what "detail" describes and send the request again.',
  },
  'method-not-allowed': {
    status: 405,
    title: 'Method not allowed',
    cure: 'Use one of the methods listed in Allow.',
  },
  'body-too-large': {
    status: 413,
    title: 'The body is too large',
    cure: 'Send a smaller body.',
  },
  'unsupported-media-type': {
    status: 415,
    title: 'The media type is not supported',
    cure: 'Send the body as application/json in UTF-8.',
  },
  'unsupported-content-coding': {
    status: 415,
    title: 'The content coding is not supported',
    cure: 'Send the body uncompressed, without Content-Encoding.',
  },
  'precondition-failed': {
    status: 412,
    title: 'A precondition of the request failed',
    cure: 'Send the request without If-Match and If-None-Match, or with the strong ETag of the same URL; the ETag of a status is weak, so If-Match never matches it.',
  },
  'no-such-route': {
    status: 404,
    title: 'Route not found',
    cure: 'Check the path: /openapi.json lists the routes of this API, relative to the path where it is mounted.',
  },
  'not-found': {
    status: 404,
    title: 'Operation not found',
    cure: 'Check the URL against the Location header of the 202 response.',
  },
  'not-finished': {
    status: 404,
    title: 'The operation has not finished',
    cure: 'Poll the status URL; when it answers 303, the result is ready.',
  },
  'operation-expired': {
    status: 410,
    title: 'The operation has expired',
    cure: 'Send the request again if you still need the result.',
  },
  'range-not-satisfiable': {
    status: 416,
    title: 'The range is outside the result',
    cure: 'Request a range within the length given in Content-Range.',
  },
  'operation-finished': {
    status: 409,
    title: 'The operation has already finished',
    cure: 'Read its result; nothing can change an operation that has finished.',
  },
  'child-failed': {
    status: 500,
    title: 'An operation that this one depends on did not complete',
    cure: 'Read "child" for its id and problem, and retry this operation once the cause is gone.',
  },
  'invalid-event': {
    status: 422,
    title: 'The event does not match the schema',
    cure: 'Fix the fields listed in "errors" and send the event again.',
  },
  'event-refused': {
    status: 409,
    title: 'The event is not accepted',
    cure: 'Read the status: "waits" lists the events that the operation waits for.',
  },
  'wait-timeout': {
    status: 504,
    title: 'An event did not come in time',
    cure: 'Send the request again, and send the event within the time that the status shows.',
  },
  'operation-unfinished': {
    status: 409,
    title: 'The operation is still in progress',
    cure: 'Wait until it has finished, or cancel it first.',
  },
  'not-retryable': {
    status: 409,
    title: 'The operation cannot be retried',
    cure: 'Retry operations that failed or were canceled; for anything else, send a new request.',
  },
  'operation-canceled': {
    status: 410,
    title: 'The operation was canceled',
    cure: 'Send the request again if you still need the result.',
  },
  'operation-failed': {
    status: 500,
    title: 'The operation failed',
    cure: "Send the request again later, or report the operation's id to the operator of this API.",
  },
  'attempt-timeout': {
    status: 504,
    title: 'The work timed out',
    cure: 'Send a smaller request, or ask the operator of this API to raise the timeout.',
  },
  'start-deadline': {
    status: 504,
    title: 'The work did not start in time',
    cure: 'Send the request again when the service is less busy.',
  },
  'deadline-exceeded': {
    status: 504,
    title: 'The work was not finished in time',
    cure: 'Send the request again when the service is less busy, or ask the operator of this API to raise the deadline.',
  },
  'worker-lost': {
    status: 500,
    title: 'The worker stopped before the work was finished',
    cure: 'Do not send the same request again until the cause is known: the request may have crashed its workers.',
  },
  'launch-lost': {
    status: 500,
    title: 'Executions started but never did the work',
    cure: 'Report this to the operator of this API: the job starts but does not claim its operation.',
  },
  'input-lost': {
    status: 500,
    title: 'The input of the operation was lost',
    cure: "Send the request again, and report the operation's id to the operator of this API: the input is missing from the store.",
  },
  'invalid-output': {
    status: 500,
    title: 'The result does not match the schema',
    cure: "Report this to the operator of this API: the handler's result does not match the declared output.",
  },
  'output-too-large': {
    status: 500,
    title: 'The result is too large to store',
    cure: 'Report this to the operator of this API: the handler should store a large result elsewhere and return its address.',
  },
  'result-lost': {
    status: 500,
    title: 'The stored result is missing',
    cure: "Report the operation's id to the operator of this API, whose log names what is missing, or send the request again.",
  },
  'no-blob-store': {
    status: 500,
    title: 'The result is not JSON, and no blob store is configured',
    cure: 'Report this to the operator of this API: the option "blobs" is not set.',
  },
  'input-outdated': {
    status: 500,
    title: 'The stored input no longer matches the schema',
    cure: 'Send the request again in the form that the API accepts now.',
  },
  'no-handler': {
    status: 500,
    title: 'No handler is registered for the operation type',
    cure: 'Report this to the operator of this API: the workers lack the handler.',
  },
  'invalid-webhook-url': {
    status: 400,
    title: 'The Webhook-Url is invalid',
    cure: 'Send an https URL with a public host, without a user name or password.',
  },
  'webhooks-not-allowed': {
    status: 400,
    title: 'The operation type does not support webhooks',
    cure: 'Send the request without Webhook-Url, and poll the status URL or listen to its events.',
  },
  'no-webhook': {
    status: 409,
    title: 'The operation has no webhook',
    cure: 'Send a Webhook-Url with the request that creates the operation.',
  },
  'webhook-not-delivered': {
    status: 502,
    title: 'The webhook was not delivered',
    cure: 'Make sure that the receiver answers with 2xx, then have the webhook sent again.',
  },
  'too-many-requests': {
    status: 429,
    title: 'Too many requests',
    cure: 'Wait for the time in Retry-After and send the request again.',
  },
  unavailable: {
    status: 503,
    title: 'Service unavailable',
    cure: 'Wait for the time in Retry-After and send the request again.',
  },
  'internal-error': {
    status: 500,
    title: 'Internal server error',
    cure: 'Send the request again; if the error persists, report it to the operator of this API.',
  },
} as const satisfies Record<string, ProblemKind>

/** The code of a problem that Waybill reports. */
export type ProblemCode = keyof typeof PROBLEMS

/** The beginning of every `type`; the code follows. */
export const PROBLEM_TYPE_PREFIX = 'urn:problem-type:waybill:'
