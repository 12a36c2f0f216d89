/** `waybill stats` and `waybill top`: recent statistics, and the current state. */

import { setTimeout as sleep } from 'node:timers/promises'
import type { Percentiles, Statistics } from '../operator/views.ts'
import { plain } from '../util/plain-text.ts'
import { type Command, JSON_OPTION, type ParsedArgs } from './command.ts'
import { DESK_OPTIONS, withDesk } from './desk.ts'
import { columns, print, printJson, span } from './output.ts'
import { stopSignal } from './signals.ts'

const WINDOW_MS = 3_600_000
const REFRESH_MS = 2000

const WINDOW_OPTION = { window: { value: 'TIME', help: 'how far back to look (default 1h)' } } as const

export const stats: Command = {
  name: 'stats',
  summary: 'show recent statistics: rates, failures, waiting times, the queue of each type, the workers',
  options: { ...DESK_OPTIONS, ...WINDOW_OPTION, ...JSON_OPTION },
  examples: [
    'waybill stats --store sqlite:./orders.db',
    'waybill stats --window 24h --json --url http://127.0.0.1:3000',
  ],
  run: async given => {
    const found = await withDesk(given, desk => desk.statistics({ window: windowOf(given) }))
    if (given.has('json')) return printJson(found)
    for (const line of linesOf(found)) print(line)
    return 0
  },
}

export const top: Command = {
  name: 'top',
  summary: 'show the same statistics live, until you stop it',
  options: {
    ...DESK_OPTIONS,
    ...WINDOW_OPTION,
    interval: { value: 'TIME', help: 'how often to refresh (default 2s)' },
    json: { help: 'print each refresh as a line of JSON' },
  },
  examples: [
    'waybill top --store postgres://worker@db/orders',
    'waybill top --url http://127.0.0.1:3000 --interval 5s',
  ],
  run: runTop,
}

async function runTop(given: ParsedArgs): Promise<number> {
  const stop = stopSignal()
  const interval = given.duration('interval') ?? REFRESH_MS
  const window = windowOf(given)
  const show = (found: Statistics) => {
    if (given.has('json')) return printJson(found)
    const lines = linesOf(found)
    return print(process.stdout.isTTY ? screen(lines) : [...lines, ''].join('\n'))
  }
  return await withDesk(given, async desk => {
    while (!stop.aborted) {
      show(await desk.statistics({ window }))
      await sleep(interval, undefined, { signal: stop }).catch(() => {})
    }
    return 0
  })
}

function windowOf(given: ParsedArgs): number {
  return given.duration('window') ?? WINDOW_MS
}

/** Overwrites the screen, without a blank screen in between. */
function screen(lines: readonly string[]): string {
  const { rows = 24, columns: width = 80 } = process.stdout
  const shown = lines.slice(0, rows - 1).map(line => line.slice(0, width))
  return `\u001b[H${shown.map(line => `${line}\u001b[K`).join('\n')}\u001b[J`
}

const SPARKS = '▁▂▃▄▅▆▇█'

function linesOf(found: Statistics): string[] {
  const { from, to, complete, series, wait, run, problems, types, workers } = found
  const sum = (of: (point: Statistics['series'][number]) => number) => series.reduce((all, point) => all + of(point), 0)
  const [accepted, completed] = [sum(it => it.accepted), sum(it => it.completed)]
  const [failed, canceled] = [sum(it => it.failed), sum(it => it.canceled)]
  const ended = completed + failed + canceled
  const share = ended === 0 ? '' : ` (${Math.round((1000 * failed) / ended) / 10} %)`
  return [
    `The last ${span(to - from)}${complete ? '' : ', since more were accepted than are looked at'}`,
    '',
    ...columns([
      ['accepted', String(accepted), spark(series.map(it => it.accepted))],
      ['completed', String(completed), spark(series.map(it => it.completed))],
      ['failed', `${failed}${share}`, spark(series.map(it => it.failed))],
      ['canceled', String(canceled), spark(series.map(it => it.canceled))],
    ]),
    '',
    ...columns([
      ['', 'HALF', '9 IN 10', '99 IN 100'],
      ['wait', ...percentiles(wait)],
      ['run', ...percentiles(run)],
    ]),
    '',
    ...columns([['TYPE', 'READY', 'OLDEST', 'RUNNING', ''], ...types.map(type => typeRow(type, to))]),
    ...section('Why operations failed', columns(problems.map(({ code, count }) => [String(count), plain(code)]))),
    ...section(
      'Workers',
      columns(workers.map(({ holder, operations }) => [plain(holder), `${operations.length} running`])),
    ),
  ]
}

function typeRow({ operation, depth, oldestAt, running, paused }: Statistics['types'][number], now: number): string[] {
  const age = oldestAt === null ? '-' : span(Math.max(0, now - oldestAt))
  return [plain(operation), String(depth), age, String(running), paused ? 'paused' : '']
}

function percentiles(of: Percentiles | null): string[] {
  return of === null ? ['-', '-', '-'] : [of.p50, of.p90, of.p99].map(span)
}

/** Numbers as a line of bars; the largest number has the highest bar. */
function spark(numbers: readonly number[]): string {
  const most = Math.max(...numbers, 1)
  return numbers.map(each => (each === 0 ? ' ' : SPARKS[Math.ceil((each / most) * SPARKS.length) - 1])).join('')
}

function section(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : ['', title, ...lines.map(line => `  ${line}`)]
}
