/** The logger that Waybill writes to. */
import { readMember, toPlainJson } from './plain-json.ts'
import { readableLine } from './readable-log.ts'

/**
 * A logger for operators: `error` for faults, `warn` for what Waybill handles itself, `info` for the rest. Loggers of
 * Fastify and pino fit.
 */
export interface Logger {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** The most characters of one field, approximately. */
const FIELD_ROOM = 16 * 1024

const guarded = new WeakSet<Logger>()

/** Wraps a logger so that it never throws. An entry that it cannot write goes to standard error. */
export function guardLogger(logger: Logger): Logger {
  if (guarded.has(logger)) return logger
  const guard = (level: keyof Logger) => (fields: object, message: string) => {
    const fallBack = () => writeLine(level, fields, message)
    try {
      const written: unknown = logger[level](fields, message)
      if (isPromise(written)) written.then(undefined, fallBack)
    } catch {
      fallBack()
    }
  }
  const guarding: Logger = { info: guard('info'), warn: guard('warn'), error: guard('error') }
  guarded.add(guarding)
  return guarding
}

/** Writes warnings and errors to standard error: on a terminal as lines for people, else one JSON object a line. */
export const stderrLogger: Logger = guardLogger({
  info: () => {},
  warn: (fields, message) => writeLine('warn', fields, message),
  error: (fields, message) => writeLine('error', fields, message),
})

/** Makes an entry that can be written as JSON, whatever its fields are. */
export function logEntry(level: keyof Logger, fields: object, message: string): Readonly<Record<string, unknown>> {
  const shown = Object.keys(fields).map(name => [name, toPlainJson(readMember(fields, name), FIELD_ROOM)])
  return { level, time: new Date().toISOString(), message, ...Object.fromEntries(shown) }
}

function writeLine(level: keyof Logger, fields: object, message: string): void {
  const entry = logEntry(level, fields, message)
  const readable = process.stderr.isTTY ? readableLine(entry, process.stderr) : undefined
  process.stderr.write(`${readable ?? JSON.stringify(entry)}\n`)
}

function isPromise(value: unknown): value is Promise<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'
}
