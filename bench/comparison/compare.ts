/** Runs the comparison, round by round, the contenders in turn. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { BenchProcess } from '../processes/bench-process.ts'
import type { Load, LoadResult } from '../processes/load.ts'
import { quiet } from '../quiet.ts'
import type { Sample } from '../scenario.ts'
import { CONTENDERS, type Contender } from './contenders.ts'
import { installPeers } from './install.ts'
import { type Extent, measure } from './measure.ts'
import { type Results, type Round, summarize } from './results.ts'
import { MissingService } from './services.ts'

/** What to compare, and how thoroughly. */
export interface ComparisonInit extends Extent {
  readonly rounds: number
  /** How many seconds each measurement waits for other programs to leave the machine alone. */
  readonly patience: number
  /** Names of contenders. Default: all. */
  readonly only?: readonly string[] | undefined
}

/** Compares. A contender whose service the machine does not have is left out with a line. */
export async function compare(init: ComparisonInit): Promise<Results> {
  let contenders = choose(init.only)
  if (contenders.some(({ kind }) => kind === 'peer')) installPeers()
  const loader = new BenchProcess<{ loads: readonly Load[] }, readonly LoadResult[]>('./load.ts')
  await loader.ready()
  const rounds: Round[] = []
  for (let at = 0; at < init.rounds; at++) {
    const round = new Map<string, Sample>()
    for (const contender of contenders) {
      await quiet(init.patience)
      try {
        round.set(contender.name, await measure(contender, loader, init))
        console.log(`round ${at + 1}: ${contender.name}`)
      } catch (error) {
        if (contender.kind !== 'peer' && !(error instanceof MissingService)) throw error
        console.log(`${contender.name} is left out: ${error}`)
        contenders = contenders.filter(other => other !== contender)
      }
    }
    rounds.push(round)
  }
  await loader.end()
  return summarize(contenders, rounds)
}

function choose(only: readonly string[] | undefined): readonly Contender[] {
  const names = CONTENDERS.map(({ name }) => name)
  const unknown = only?.find(name => !names.includes(name))
  if (unknown !== undefined) throw new TypeError(`"${unknown}" is not a contender. Use one of: ${names.join(', ')}.`)
  return only === undefined ? CONTENDERS : CONTENDERS.filter(({ name }) => only.includes(name))
}

const RECORDED = new URL('../recorded.json', import.meta.url)

type Recorded = Readonly<Record<string, { readonly median: number; readonly min: number; readonly max: number }>>

/** Writes the ratios that later runs are checked against. */
export function record({ ratios }: Results): void {
  mkdirSync(new URL('.', RECORDED), { recursive: true })
  const entries = ratios.map(({ name, median, min, max }) => [name, { median, min, max }])
  writeFileSync(RECORDED, `${JSON.stringify(Object.fromEntries(entries), null, 2)}\n`)
}

/** What a few rounds do not show of the noise: a ratio moves by this part between two runs of the same program. */
const NOISE = 0.1

/** The ratios that are worse than recorded by more than the noise of both runs, as messages for people. */
export function findLosses({ ratios }: Results): string[] {
  if (!existsSync(RECORDED)) throw new Error('Nothing is recorded: run with --record on a quiet machine first.')
  const recorded = JSON.parse(readFileSync(RECORDED, 'utf8')) as Recorded
  return ratios.flatMap(({ name, median, min, max, better }) => {
    const before = recorded[name]
    if (before === undefined) return []
    const isWorse = better === 'more' ? max < before.min * (1 - NOISE) : min > before.max * (1 + NOISE)
    return isWorse ? [`${name}: ${median.toPrecision(3)}, recorded ${before.median.toPrecision(3)}`] : []
  })
}
