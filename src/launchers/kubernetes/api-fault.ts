/** What a failed call of the Kubernetes API means. */
import { parseRetryAfter } from '../../model/protocol.ts'
import { stringOf } from '../../util/fields.ts'

/** What went wrong, as far as it is known. */
export interface Fault {
  /** The HTTP status; 0 where no answer came. */
  readonly status: number
  /** The `reason` of a `Status` object, such as `AlreadyExists`. */
  readonly reason: string
  readonly message: string
  /** How long the server asks to wait, in milliseconds. */
  readonly retryAfterMs: number | undefined
  /** Whether the request cannot have reached the server. */
  readonly unsent: boolean
}

/** Codes of the system and of undici for a connection that was never made. */
const UNCONNECTED = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'UND_ERR_CONNECT_TIMEOUT',
])

/** The longest wait, whatever a server says. */
const LONGEST_RETRY_MS = 60_000

/** Reads an `ApiException`, or whatever else a call was rejected with. */
export function readFault(error: unknown): Fault {
  const { code, body, headers } = partsOf(error)
  const { reason, message } = readStatus(body)
  return {
    status: typeof code === 'number' ? code : 0,
    reason: reason ?? '',
    message: message ?? (error instanceof Error ? error.message : String(error)),
    retryAfterMs: readRetryAfter(partsOf(headers)),
    unsent: codesOf(error).some(it => UNCONNECTED.has(it)),
  }
}

/** The `Status` object of an answer: as text, or parsed already. */
function readStatus(body: unknown): { reason?: string; message?: string } {
  const { reason, message } = partsOf(typeof body === 'string' ? parse(body) : body)
  return {
    ...(typeof reason === 'string' && { reason }),
    ...(typeof message === 'string' && { message }),
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // The answer may be HTML from a proxy before the server.
    return undefined
  }
}

/**
 * Kubernetes sends seconds, and a proxy before it may send a date. At least one second, so that a 0 does not cause a
 * flood of requests.
 */
function readRetryAfter({ 'retry-after': value, date }: Readonly<Record<string, unknown>>): number | undefined {
  const ms = parseRetryAfter(stringOf(value), stringOf(date))
  return ms === undefined ? undefined : Math.min(Math.max(ms, 1000), LONGEST_RETRY_MS)
}

/** The codes of an error and its causes. A host with several addresses has one for each address. */
function codesOf(error: unknown): string[] {
  const codes: string[] = []
  for (let it: unknown = error, depth = 0; it instanceof Error && depth < 5; it = it.cause, depth++) {
    const { code } = partsOf(it)
    if (typeof code === 'string') codes.push(code)
  }
  return codes
}

function partsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {}
}
