/**
 * `node scripts/measures.ts`: measures how easy src is to read. Each number is printed with its limit, and the script
 * fails where a limit is not met. Tests, scripts and examples are not counted.
 */
import { readFileSync } from 'node:fs'
import { FLOORS, MAX_DEPTH, MAX_FILE_LINES, MAX_FUNCTION_LINES, room } from './rules.ts'
import { readSources } from './source.ts'
import { root } from './tools.ts'

interface Measure {
  readonly name: string
  readonly value: number
  readonly min?: number
  readonly max?: number
}

const CONTRACTS = new Set([
  'stores/store.ts',
  'stores/operation-store.ts',
  'stores/work-queue.ts',
  'stores/operator-store.ts',
  'stores/archive.ts',
  'blobs/blob-store.ts',
  'worker/runners/runner.ts',
  'launchers/launcher.ts',
  'launchers/scale-trigger.ts',
  'http/dialects/dialect.ts',
  'http/surface.ts',
])

const sources = readSources(`${root}src`)
const measures = measure()
for (const one of measures) console.log(describe(one))
process.exitCode = measures.every(isMet) ? 0 : 1

function measure(): Measure[] {
  const functions = sources.flatMap(it => it.functions)
  const lengths = functions.map(it => it.lines)
  const depths = functions.map(it => it.depth)
  const files = sources.map(it => it.lines)
  const contracts = sources.filter(({ file }) => CONTRACTS.has(file))
  const commentLines = sum(contracts.map(it => it.commentLines))
  const codeLines = sum(contracts.map(it => it.lines)) - commentLines
  return [
    { name: 'lines of a function, median', value: percentile(lengths, 50), max: 4 },
    { name: 'lines of a function, 95th percentile', value: percentile(lengths, 95), max: 18 },
    { name: 'lines of a function, longest', value: Math.max(...lengths), max: MAX_FUNCTION_LINES },
    { name: 'depth of a function, 95th percentile', value: percentile(depths, 95) },
    { name: 'depth of a function, deepest', value: Math.max(...depths), max: MAX_DEPTH },
    { name: 'lines of a file, median', value: percentile(files, 50) },
    { name: 'lines of a file, longest', value: Math.max(...files), max: MAX_FILE_LINES },
    { name: 'comment lines per 100 of code, contracts', value: (100 * commentLines) / codeLines, min: 25 },
    { name: 'casts per 1,000 lines', value: (1000 * sum(sources.map(it => it.casts))) / sum(files), max: 5 },
    { name: 'entries in exports', value: countExports(), max: 18 },
    { name: 'files at the root of src', value: sources.filter(it => !it.file.includes('/')).length, max: 3 },
    { name: 'rooms', value: FLOORS.flat().filter(it => !it.endsWith('.ts')).length },
    { name: 'floors', value: FLOORS.length },
    { name: 'arrows between rooms', value: countArrows() },
  ]
}

function percentile(values: readonly number[], percent: number): number {
  return values.toSorted((a, b) => a - b)[Math.floor((values.length * percent) / 100)] ?? 0
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

/** The entry points of the package, `package.json` not counted. */
function countExports(): number {
  const { exports } = JSON.parse(readFileSync(`${root}package.json`, 'utf8')) as { exports: Record<string, unknown> }
  return Object.keys(exports).filter(path => path !== './package.json').length
}

function countArrows(): number {
  const files = new Set(sources.map(it => it.file))
  const imports = sources.flatMap(it => it.imports).filter(({ target }) => files.has(target))
  const arrows = imports.map(({ file, target }) => [room(file), room(target)] as const)
  return new Set(arrows.filter(([from, to]) => from !== to).map(String)).size
}

function isMet({ value, min = 0, max = Number.POSITIVE_INFINITY }: Measure): boolean {
  return value >= min && value <= max
}

function describe(measure: Measure): string {
  const { name, value, min, max } = measure
  const limit = [min === undefined ? [] : `at least ${min}`, max === undefined ? [] : `at most ${max}`].flat().join()
  return `${isMet(measure) ? ' ' : '!'} ${name.padEnd(42)}${String(Math.round(10 * value) / 10).padStart(6)}  ${limit}`
}
