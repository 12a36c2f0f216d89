/** Formats log entries, as pino and Waybill write them, as lines for people. */
import { styleText } from 'node:util'
import { plain } from './plain-text.ts'

/** A log entry, parsed from JSON. */
export type LogEntry = Readonly<Record<string, unknown>>

const LEVELS: Readonly<Record<string, readonly [name: string, color: 'dim' | 'green' | 'yellow' | 'red']>> = {
  10: ['trace', 'dim'],
  20: ['debug', 'dim'],
  30: ['info', 'green'],
  40: ['warn', 'yellow'],
  50: ['error', 'red'],
  60: ['fatal', 'red'],
  info: ['info', 'green'],
  warn: ['warn', 'yellow'],
  error: ['error', 'red'],
}

/** Fields that are shown elsewhere on the line, or are of no use on the developer's own machine. */
const LEFT_OUT = new Set(['level', 'time', 'pid', 'hostname', 'msg', 'message', 'err', 'v', 'reqId'])

/**
 * Formats an entry: the time of day, the level, the message, the fields, and the stack of its error on lines of its own.
 *
 * @param stream the stream that the line is written to; it decides whether colors are used
 * @returns undefined for values that are not log entries
 */
export function readableLine(entry: LogEntry, stream: NodeJS.WritableStream): string | undefined {
  const level = LEVELS[String(entry.level)]
  if (level === undefined) return undefined
  const [name, color] = level
  const style = (format: typeof color, text: string) => (text === '' ? '' : styleText(format, text, { stream }))
  const time = new Date(entry.time as string | number)
  const clock = Number.isNaN(time.getTime()) ? '' : time.toTimeString().slice(0, 8)
  const fields = Object.entries(entry).filter(([key]) => !LEFT_OUT.has(key))
  const shown = fields.map(
    ([key, value]) => `${key}=${plain(typeof value === 'string' ? value : JSON.stringify(value))}`,
  )
  const message = plain(String(entry.msg ?? entry.message ?? ''))
  const head = [style('dim', clock), style(color, name.padEnd(5)), message, style('dim', shown.join(' '))]
  return [head.filter(Boolean).join(' ').trimEnd(), ...stackOf(entry.err).map(line => style('red', line))].join('\n')
}

function stackOf(error: unknown): string[] {
  const { stack, message } = Object(error) as { stack?: unknown; message?: unknown }
  const text = typeof stack === 'string' ? stack : message
  if (typeof text !== 'string') return []
  return text.split('\n').map(line => `  ${plain(line)}`)
}
