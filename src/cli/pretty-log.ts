/** Turns the JSON lines of pino and Waybill into readable lines. Other lines stay unchanged. */
import { type LogEntry, readableLine } from '../util/readable-log.ts'

/** The log entry of Fastify for a request; the entry for its end has no `req`. */
interface RequestEntry {
  readonly req?: { readonly method?: unknown; readonly url?: unknown }
  readonly res?: { readonly statusCode?: unknown }
  readonly reqId?: unknown
  readonly responseTime?: unknown
}

/** The requests of the console itself, which do not matter to the developer of the server. */
const OF_CONSOLE = /^(?:\/[^?]*)?\/(?:admin|console)(?:[/?]|$)/

/** How many open requests are remembered before the oldest is forgotten. */
const MAX_REQUESTS = 1000

/** Formats a log line by line. A request that Fastify logs as two entries becomes one line at its end. */
export class PrettyLog {
  readonly #requests = new Map<unknown, string>()

  /** Formats one line; undefined to show nothing. */
  line(text: string): string | undefined {
    const entry = parse(text)
    if (entry === undefined) return text
    const { req, res, reqId, responseTime } = entry as RequestEntry
    if (entry.msg === 'incoming request' && typeof req?.url === 'string') {
      this.#begin(reqId, `${req.method} ${req.url}`)
      return undefined
    }
    const request = this.#requests.get(reqId)
    if (request === undefined || entry.msg !== 'request completed') return this.#format(entry, text)
    this.#requests.delete(reqId)
    if (OF_CONSOLE.test(request.slice(request.indexOf(' ') + 1))) return undefined
    const { level, time } = entry
    const took = typeof responseTime === 'number' ? ` ${Math.round(responseTime)} ms` : ''
    return this.#format({ level, time, msg: `${request} ${res?.statusCode}${took}` }, text)
  }

  #begin(id: unknown, request: string): void {
    const [first] = this.#requests.keys()
    if (this.#requests.size >= MAX_REQUESTS) this.#requests.delete(first)
    this.#requests.set(id, request)
  }

  #format(entry: LogEntry, text: string): string {
    return readableLine(entry, process.stdout) ?? text
  }
}

function parse(line: string): LogEntry | undefined {
  if (!line.startsWith('{')) return undefined
  try {
    return JSON.parse(line) as LogEntry
  } catch {
    return undefined
  }
}
