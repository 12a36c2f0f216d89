/** The dated part of docs/benchmarks.md, between two marks: the table, the ratios, whose settings were used, the charts. */
import { readFileSync, writeFileSync } from 'node:fs'
import { writeCharts } from './charts.ts'
import { type Results, tableOf } from './results.ts'

const PAGE = new URL('../../docs/benchmarks.md', import.meta.url)
const CHARTS = new URL('../../docs/images/benchmarks/', import.meta.url)
const BEGIN = '<!-- The comparison: npm run bench -- --page writes it. -->'
const END = '<!-- The end of the comparison. -->'

/** Replaces the comparison in the page, and the charts. */
export function writePage(results: Results, facts: Readonly<Record<string, string | number>>): void {
  const text = readFileSync(PAGE, 'utf8')
  const [before, rest = ''] = text.split(BEGIN)
  const after = rest.split(END)[1]
  if (after === undefined) throw new Error('docs/benchmarks.md has lost the marks of the comparison.')
  const charts = writeCharts(results, CHARTS).map(({ name, title }) => `![${title}](images/benchmarks/${name})`)
  const settings = results.contenders.map(({ contender }) => `- **${contender.name}**: ${contender.settings}`)
  const about = `${String(facts.at).slice(0, 10)}, commit ${facts.commit}, ${facts.cores} cores (${facts.cpu}), Node ${facts.node}, SQLite ${facts.sqlite}; medians of ${results.rounds} rounds.`
  const parts = [BEGIN, about, charts.join('\n\n'), tableOf(results), settings.join('\n'), END]
  writeFileSync(PAGE, before + parts.join('\n\n') + after)
}
