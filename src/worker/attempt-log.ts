/** The log lines of one attempt: the first ones go out at once, and the last ones when it ends. */
import type { LogLevel } from '../model/handler.ts'
import { LOG_LIMIT } from '../stores/store.ts'

/** The most bytes, about, of a line's message. */
const MESSAGE_LIMIT = 8192
const LEVELS: readonly string[] = ['debug', 'info', 'warn', 'error'] satisfies LogLevel[]
/** The lines that each attempt may write, even where many attempts share the log of one operation. */
const FEWEST_LINES = 20

interface Line {
  readonly level: LogLevel
  readonly message: string
}

/**
 * Limits what an attempt logs, so that a handler that logs in a loop costs almost nothing. Each attempt may write half
 * of the lines that are left in the operation's log, and the last attempt may write all of them. Three quarters of its
 * share are for its first lines, the rest for its last lines.
 */
export class AttemptLog {
  readonly #write: (level: LogLevel, message: string) => void
  readonly #lastLines: number
  #firstLines: number
  #last: Line[] = []
  #dropped = 0

  /** @param of the most attempts that the operation may have */
  constructor({ attempt, of }: { attempt: number; of: number }, write: (level: LogLevel, message: string) => void) {
    const parts = 2 ** (attempt < of ? attempt : attempt - 1)
    const share = Math.max(FEWEST_LINES, Math.floor(LOG_LIMIT / parts))
    this.#lastLines = Math.floor(share / 4)
    // One is left for the line that says how many were dropped.
    this.#firstLines = share - this.#lastLines - 1
    this.#write = write
  }

  add(message: unknown, level: unknown): void {
    const line = { level: toLevel(level), message: toText(message) }
    if (this.#firstLines > 0) {
      this.#firstLines--
      this.#write(line.level, line.message)
      return
    }
    this.#last.push(line)
    if (this.#last.length <= this.#lastLines) return
    this.#last.shift()
    this.#dropped++
  }

  /** Writes the lines that are held back: called when the attempt ends, or is told to end. */
  flush(): void {
    if (this.#dropped > 0) this.#write('warn', `${this.#dropped} log lines of this attempt were dropped here.`)
    for (const { level, message } of this.#last) this.#write(level, message)
    this.#last = []
    this.#dropped = 0
  }
}

function toLevel(level: unknown): LogLevel {
  return LEVELS.includes(level as string) ? (level as LogLevel) : 'info'
}

function toText(message: unknown): string {
  try {
    return String(message).slice(0, MESSAGE_LIMIT)
  } catch {
    return '[A value that has no text]'
  }
}
