/** Makes lines for people of a log of JSON lines, as pino and Waybill write them. Other lines stay as they are. */
import { styleText } from 'node:util'
import { plain } from './output.ts'

type Entry = Readonly<Record<string, unknown>>

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

/** What is on each line anyway, or of no use on one's own machine. */
const LEFT_OUT = new Set(['level', 'time', 'pid', 'hostname', 'msg', 'message', 'err', 'v', 'reqId'])

/** Formats one line. */
export function prettyLine(line: string): string {
  const entry = parse(line)
  const level = entry && LEVELS[String(entry.level)]
  if (entry === undefined || level === undefined) return line
  const [name, color] = level
  const time = new Date(entry.time as string | number)
  const clock = Number.isNaN(time.getTime()) ? '' : time.toTimeString().slice(0, 8)
  const fields = Object.entries(entry).filter(([key]) => !LEFT_OUT.has(key))
  const shown = fields.map(
    ([key, value]) => `${key}=${plain(typeof value === 'string' ? value : JSON.stringify(value))}`,
  )
  const message = plain(String(entry.msg ?? entry.message ?? ''))
  const head = [styleText('dim', clock), styleText(color, name.padEnd(5)), message, styleText('dim', shown.join(' '))]
  return [head.filter(Boolean).join(' ').trimEnd(), ...stackOf(entry.err)].join('\n')
}

function parse(line: string): Entry | undefined {
  if (!line.startsWith('{')) return undefined
  try {
    return JSON.parse(line) as Entry
  } catch {
    return undefined
  }
}

function stackOf(error: unknown): string[] {
  const { stack, message } = Object(error) as { stack?: unknown; message?: unknown }
  const text = typeof stack === 'string' ? stack : message
  if (typeof text !== 'string') return []
  return text.split('\n').map(line => styleText('red', `  ${plain(line)}`))
}
