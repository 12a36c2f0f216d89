/** The limits of the client. This file imports nothing: only then does esbuild put the numbers where they are used. */

/** The first delay if the server names none, between polls and after a failure, in milliseconds. It doubles. */
export const FIRST_DELAY_MS = 500
/** The longest delay if the server names none, in milliseconds. */
export const MAX_DELAY_MS = 15_000
/** The shortest delay, in milliseconds, that polls reach if they bring nothing new, however short `Retry-After` is. */
export const MAX_FLOOR_MS = 1000
/** The longest `Retry-After` that is respected, in milliseconds: the server's clock, or its estimate, may be wrong. */
export const MAX_RETRY_AFTER_MS = 3_600_000

/** How long a server may take to begin its answer, in milliseconds. It holds polls for up to 30 s. */
export const ANSWER_TIMEOUT_MS = 60_000
/** How long a stream may be silent, in milliseconds. The server sends a comment every 15 s. */
export const SILENCE_TIMEOUT_MS = 45_000

export const MAX_REDIRECTS = 10
/** How many requests may fail in a row before a wait fails: about three minutes. Held polls do not count. */
export const MAX_FAILURES = 20
/** How many times a 500 that may be the outcome of the operation is requested again, since it may come from a proxy. */
export const MAX_DOUBTS = 3
/** After this many repetitions of a status, polls replace the event stream: something on the way seems to cut it. */
export const MAX_REPEATS = 3

/** How long a server may hold a poll, in tens of seconds. It shrinks to 1 and to 0 when a gateway ends held polls. */
export const HOLD_TENS = 3
/**
 * The streams and held polls of all waits at one origin. Over HTTP/1.1 a page has six connections to an origin, and it
 * needs some for other requests.
 */
export const MAX_HELD = 2

/** How many times the typed client repeats a request that fails: over 8 to 16 seconds. */
export const MAX_RETRIES = 5
/** The longest delay that the typed client accepts between two attempts of a request, in milliseconds. */
export const MAX_RETRY_DELAY_MS = 60_000
