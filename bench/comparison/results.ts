/** What a comparison has found: medians with their spread, and Waybill's ratios to the floor and to the best peer, round by round. */
import type { Sample } from '../scenario.ts'
import { type Spread, spread } from '../statistics.ts'
import type { Contender } from './contenders.ts'

/** What one round has measured of each contender, by its name. */
export type Round = ReadonlyMap<string, Sample>

/** A contender's measures over all rounds. */
export interface Measured {
  readonly contender: Contender
  readonly measures: Readonly<Record<string, Spread>>
}

/** One of Waybill's figures by another of the same round, and what is aimed at. */
export interface RatioResult extends Spread {
  readonly name: string
  readonly better: RatioOf['better']
  readonly aim: string
  readonly met: boolean
}

export interface Results {
  readonly rounds: number
  readonly contenders: readonly Measured[]
  readonly ratios: readonly RatioResult[]
}

interface RatioOf {
  readonly measure: string
  /** `one`: the figure itself. */
  readonly to: 'floor' | 'best peer' | 'one'
  readonly better: 'more' | 'less'
  /** Undefined where nothing is aimed at. */
  readonly aim: Readonly<Partial<Record<Contender['store'], number>>>
}

const RATIOS: readonly RatioOf[] = [
  { measure: 'POST CPU, µs', to: 'floor', better: 'less', aim: { SQLite: 1.3, PostgreSQL: 1.3 } },
  { measure: 'status CPU, µs', to: 'floor', better: 'less', aim: { SQLite: 1.3, PostgreSQL: 1.3 } },
  { measure: 'POST/s', to: 'best peer', better: 'more', aim: { SQLite: 1.5, PostgreSQL: 1.5 } },
  { measure: 'drain/s', to: 'best peer', better: 'more', aim: { SQLite: 2, PostgreSQL: 1.3 } },
  { measure: 'drain CPU, µs', to: 'floor', better: 'less', aim: { SQLite: 2, PostgreSQL: 2 } },
  { measure: 'drain CPU, µs', to: 'one', better: 'less', aim: { SQLite: 100, PostgreSQL: 120 } },
  { measure: 'round trip alone p50, ms', to: 'best peer', better: 'less', aim: { SQLite: 0.6, PostgreSQL: 0.7 } },
  { measure: 'round trip at 32 p50, ms', to: 'best peer', better: 'less', aim: { SQLite: 0.25, PostgreSQL: 0.35 } },
  { measure: 'memory API, MiB', to: 'one', better: 'less', aim: { SQLite: 150, PostgreSQL: 150 } },
  { measure: 'disk bytes per operation', to: 'one', better: 'less', aim: { SQLite: 600, PostgreSQL: 700 } },
]

/** Medians over the rounds. A ratio is taken in each round, so that what slows the machine for a while cancels out. */
export function summarize(contenders: readonly Contender[], rounds: readonly Round[]): Results {
  const measured = contenders.map(contender => ({ contender, measures: measuresOf(contender, rounds) }))
  const ours = contenders.filter(({ kind }) => kind === 'waybill')
  return {
    rounds: rounds.length,
    contenders: measured,
    ratios: ours.flatMap(own => RATIOS.flatMap(ratio => ratioOf(own, ratio, contenders, rounds))),
  }
}

function measuresOf({ name }: Contender, rounds: readonly Round[]): Readonly<Record<string, Spread>> {
  const samples = rounds.flatMap(round => [round.get(name)].filter(sample => sample !== undefined))
  const measures = Object.keys(samples[0] ?? {})
  return Object.fromEntries(
    measures.map(measure => [measure, spread(samples.map(sample => sample[measure] ?? Number.NaN))]),
  )
}

function ratioOf(
  own: Contender,
  { measure, to, better, aim }: RatioOf,
  contenders: readonly Contender[],
  rounds: readonly Round[],
): RatioResult[] {
  const values = rounds.flatMap(round => {
    const figure = round.get(own.name)?.[measure]
    const other = to === 'one' ? 1 : reference(own, to, { measure, better }, contenders, round)
    return figure === undefined || other === undefined ? [] : [figure / other]
  })
  if (values.length === 0) return []
  const over = spread(values)
  const wanted = aim[own.store]
  const met = wanted === undefined || (better === 'more' ? over.median >= wanted : over.median <= wanted)
  const of = to === 'one' ? '' : `, relative to the ${to}`
  const sign = better === 'more' ? '≥' : '≤'
  return [
    {
      ...over,
      better,
      name: `${own.name}: ${measure}${of}`,
      aim: wanted === undefined ? '' : `${sign} ${wanted}`,
      met,
    },
  ]
}

function reference(
  own: Contender,
  to: 'floor' | 'best peer',
  { measure, better }: Pick<RatioOf, 'measure' | 'better'>,
  contenders: readonly Contender[],
  round: Round,
): number | undefined {
  const others = contenders.filter(({ kind, store }) =>
    to === 'floor' ? kind === 'floor' && store === own.store : kind === 'peer',
  )
  const figures = others.flatMap(({ name }) => round.get(name)?.[measure] ?? []).filter(Number.isFinite)
  if (figures.length === 0) return undefined
  return better === 'more' ? Math.max(...figures) : Math.min(...figures)
}

/** The contenders in columns, their measures in rows, as a table of Markdown. */
export function tableOf({ contenders, ratios }: Results): string {
  const shown = contenders.filter(({ measures }) => Object.keys(measures).length > 0)
  const names = [...new Set(shown.flatMap(({ measures }) => Object.keys(measures)))]
  const head = ['', ...shown.map(({ contender }) => contender.name)]
  const rows = names.map(name => [name, ...shown.map(({ measures }) => show(measures[name]?.median))])
  const found = ratios.map(({ name, median, min, max, aim, met }) => [
    name,
    `${show(median)} (${show(min)} to ${show(max)})`,
    aim === '' ? '' : `${aim}: ${met ? 'met' : 'missed'}`,
  ])
  return `${markdown([head, ...rows])}\n\n${markdown([['ratio', 'median (lowest to highest)', 'aim'], ...found])}\n`
}

function markdown([head = [], ...rows]: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map((_, index) => (index === 0 ? '---' : '---:'))), ...rows.map(line)].join('\n')
}

function show(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return '-'
  return value >= 100 ? Math.round(value).toLocaleString('en') : value.toPrecision(2)
}
