/** What was measured, for people and for programs. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { arch, availableParallelism, cpus, loadavg, platform, release, totalmem } from 'node:os'
import { fileURLToPath } from 'node:url'
import type { Ratio, Sample, Scenario } from './scenario.ts'
import { type Spread, spread } from './statistics.ts'

/** A scenario's outcome over all rounds. */
export interface Outcome {
  readonly name: string
  readonly about: string
  readonly rounds: number
  readonly measures: Readonly<Record<string, Spread>>
  readonly ratios: readonly (Ratio & Spread & { readonly met?: boolean })[]
}

/** Medians over the rounds. A ratio is taken in each round, so that what slows the whole machine down for a while cancels out. */
export function outcome({ name, about, ratios }: Scenario, samples: readonly Sample[]): Outcome {
  const names = Object.keys(samples[0] ?? {})
  const valuesOf = (measure: string) => samples.map(sample => sample[measure] ?? Number.NaN)
  return {
    name,
    about,
    rounds: samples.length,
    measures: Object.fromEntries(names.map(measure => [measure, spread(valuesOf(measure))])),
    ratios: ratios.map(ratio => withSpread(ratio, samples)),
  }
}

function withSpread(ratio: Ratio, samples: readonly Sample[]): Outcome['ratios'][number] {
  const values = samples.map(sample => (sample[ratio.of] ?? Number.NaN) / (sample[ratio.to] ?? Number.NaN))
  const { atLeast = -Infinity, atMost = Infinity } = ratio
  const over = spread(values)
  const aimed = ratio.atLeast !== undefined || ratio.atMost !== undefined
  return { ...ratio, ...over, ...(aimed && { met: over.median >= atLeast && over.median <= atMost }) }
}

/** The outcome as a table. */
export function table({ name, about, rounds, measures, ratios }: Outcome): string {
  const rows = [
    ...Object.entries(measures).map(([measure, over]) => row(measure, over)),
    ...ratios.map(ratio => row(ratio.name, ratio, `×${aim(ratio)}`)),
  ]
  return [`${name}: ${about} (median of ${rounds}, and the two ends)`, ...rows, ''].join('\n')
}

function row(label: string, { median, min, max }: Spread, suffix = ''): string {
  return `  ${label.padEnd(44)} ${show(median).padStart(9)}   ${`${show(min)} … ${show(max)}`.padStart(19)} ${suffix}`
}

function aim({ atLeast, atMost, met }: Outcome['ratios'][number]): string {
  if (met === undefined) return ''
  return `  aim ${atLeast === undefined ? `≤ ${atMost}` : `≥ ${atLeast}`}: ${met ? 'met' : 'missed'}`
}

function show(value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString('en') : value.toFixed(2)
}

/** What the figures depend on. */
export function machine(): Record<string, string | number> {
  return {
    at: new Date().toISOString(),
    cores: availableParallelism(),
    cpu: cpus()[0]?.model ?? 'unknown',
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${platform()} ${release()} ${arch()}`,
    node: process.version,
    sqlite: process.versions.sqlite ?? 'unknown',
    loadBefore: Math.round((loadavg()[0] ?? 0) * 100) / 100,
    commit: commit(),
  }
}

function commit(): string {
  try {
    return execFileSync('git', ['describe', '--always', '--dirty'], { encoding: 'utf8' }).trim()
  } catch {
    return 'unknown'
  }
}

/** Writes `results/latest.json`, and gives its path. */
export function save(facts: object, found: object): string {
  const folder = fileURLToPath(new URL('results/', import.meta.url))
  mkdirSync(folder, { recursive: true })
  writeFileSync(`${folder}latest.json`, `${JSON.stringify({ machine: facts, ...found }, null, 2)}\n`)
  return `${folder}latest.json`
}
