/** Charts of a comparison as SVG: bars, which read in a light and in a dark page. */
import { mkdirSync, writeFileSync } from 'node:fs'
import type { Results } from './results.ts'

interface Chart {
  readonly file: string
  readonly title: string
  readonly measure: string
  readonly better: 'more' | 'less'
}

const CHARTS: readonly Chart[] = [
  { file: 'accept', title: 'Orders accepted per second', measure: 'POST/s', better: 'more' },
  { file: 'drain', title: 'Waiting orders processed per second', measure: 'drain/s', better: 'more' },
  {
    file: 'cpu',
    title: 'CPU time per order in worker and store, in microseconds',
    measure: 'drain CPU, µs',
    better: 'less',
  },
  {
    file: 'round-trip',
    title: 'From POST to result with 32 clients, in milliseconds',
    measure: 'round trip at 32 p50, ms',
    better: 'less',
  },
]

const WIDTH = 720
const LABELS = 190
const ROW = 26
const TOP = 44

/** Writes the charts into a folder, and gives their file names and titles. */
export function writeCharts(
  results: Results,
  folder: URL,
): readonly { readonly name: string; readonly title: string }[] {
  mkdirSync(folder, { recursive: true })
  return CHARTS.map(chart => {
    const name = `${chart.file}.svg`
    writeFileSync(new URL(name, folder), svgOf(chart, results))
    return { name, title: chart.title }
  })
}

function svgOf({ title, measure, better }: Chart, { contenders }: Results): string {
  const bars = contenders.flatMap(({ contender, measures }) => {
    const value = measures[measure]?.median
    return value === undefined || !Number.isFinite(value) ? [] : [{ ...contender, value }]
  })
  bars.sort((a, b) => (better === 'more' ? b.value - a.value : a.value - b.value))
  const most = Math.max(...bars.map(({ value }) => value))
  const height = TOP + bars.length * ROW + 12
  const rows = bars.map(({ name, kind, value }, index) => {
    const y = TOP + index * ROW
    const width = Math.max(((WIDTH - LABELS - 90) * value) / most, 1)
    return `<g class="${kind}"><text x="${LABELS - 10}" y="${y + 15}" text-anchor="end">${name}</text><rect x="${LABELS}" y="${y}" width="${width.toFixed(1)}" height="${ROW - 8}" rx="2"/><text x="${(LABELS + width + 8).toFixed(1)}" y="${y + 15}">${show(value)}</text></g>`
  })
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${title}">
<style>
  text { font: 13px system-ui, sans-serif; fill: #57606a }
  .title { font-weight: 600; font-size: 15px; fill: #24292f }
  .waybill rect { fill: #1f6feb } .waybill text { font-weight: 600; fill: #24292f }
  .peer rect { fill: #8c959f } .floor rect { fill: none; stroke: #8c959f; stroke-dasharray: 4 3 }
  @media (prefers-color-scheme: dark) {
    text { fill: #9198a1 } .title, .waybill text { fill: #f0f6fc } .waybill rect { fill: #58a6ff }
  }
</style>
<text class="title" x="0" y="20">${title} (${better === 'more' ? 'more is better' : 'less is better'})</text>
${rows.join('\n')}
</svg>
`
}

function show(value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString('en') : value.toPrecision(2)
}
