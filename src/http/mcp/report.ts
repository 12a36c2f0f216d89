/** What a client receives while its call waits: the progress and the log of the handler. */
import type { Operation } from '../../model/operation.ts'
import type { AnyOperationType } from '../../model/operation-type.ts'
import type { Operations } from '../../service/operations.ts'
import type { LogLine } from '../../stores/store.ts'
import { type Members, notification } from './json-rpc.ts'
import type { McpRequest } from './request.ts'

const LOG_LEVEL = 'io.modelcontextprotocol/logLevel'

/** The levels of MCP, the least urgent first. */
const LEVELS = ['debug', 'info', 'notice', 'warning', 'error', 'critical', 'alert', 'emergency'] as const
type Level = (typeof LEVELS)[number]

/** The token with which a client requests the progress. */
export function progressToken({ meta }: McpRequest): string | number | undefined {
  const { progressToken: token } = meta
  return typeof token === 'string' || typeof token === 'number' ? token : undefined
}

/**
 * The lowest level of log lines that the client gets; undefined for none. Clients of earlier revisions get all lines.
 */
export function logLevel({ meta, isModern }: McpRequest, type: AnyOperationType | undefined): Level | undefined {
  if (!type?.policy.exposeLogs) return undefined
  return isModern ? LEVELS.find(level => level === meta[LOG_LEVEL]) : 'debug'
}

export class Report {
  readonly #operations: Operations
  readonly #token: string | number | undefined
  readonly #level: Level | undefined
  #fraction = -1
  #line = 0

  constructor(operations: Operations, request: McpRequest, level: Level | undefined) {
    this.#operations = operations
    this.#token = progressToken(request)
    this.#level = level
  }

  /** The messages since the last call. */
  async *news(operation: Operation): AsyncGenerator<Members> {
    for (const line of await this.#newLines(operation)) {
      this.#line = line.sequence
      if (isAtLeast(line.level, this.#level)) yield logged(operation, line)
    }
    const { progress } = operation
    if (this.#token === undefined || progress === null || progress.fraction <= this.#fraction) return
    this.#fraction = progress.fraction
    const { fraction, message } = progress
    yield notification('notifications/progress', { progressToken: this.#token, progress: fraction, total: 1, message })
  }

  /** Whether the operation has changed, or its handler has logged something. */
  async hasNews(operation: Operation, seen: number): Promise<boolean> {
    return operation.version > seen || (await this.#newLines(operation)).length > 0
  }

  async #newLines({ id }: Operation): Promise<readonly LogLine[]> {
    return this.#level === undefined ? [] : await this.#operations.logsOf(id, this.#line)
  }
}

function isAtLeast(level: string, least: Level | undefined): boolean {
  return least !== undefined && LEVELS.indexOf(toLevel(level)) >= LEVELS.indexOf(least)
}

/** The level of a line that a handler has logged. */
function toLevel(level: string): Level {
  const name = level === 'warn' ? 'warning' : level
  return LEVELS.find(known => known === name) ?? 'info'
}

function logged({ type }: Operation, { level, message }: LogLine): Members {
  return notification('notifications/message', { level: toLevel(level), logger: type, data: message })
}
