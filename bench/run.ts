/**
 * `npm run bench`: measures the built package beside its peers and beside what the machine allows, all in one run.
 * docs/benchmarks.md says what is measured and how to read it.
 *
 *   --quick          short rounds, few of them: to see that it works
 *   --rounds N       how often each is measured; default 5
 *   --patience S     how many seconds each round waits for other programs to leave the machine alone; default 20
 *   --only NAME      one contender of the comparison, such as "Waybill on SQLite" or pg-boss; may be given again
 *   --scenario NAME  one part of Waybill by itself instead of the comparison, such as drain; `all` for all of them
 *   --finished N     how many operations of the scenario growth have ended; default 1,000,000
 *   --delayed N      how many of them wait for a time; default 100,000
 *   --page           writes the comparison and its charts into docs/benchmarks.md
 *   --record         keeps the ratios of the comparison for --check
 *   --check          fails if a ratio is worse than recorded by more than the noise
 */
import { parseArgs } from 'node:util'
import { Bench } from './bench.ts'
import { compare, findLosses, record } from './comparison/compare.ts'
import { writePage } from './comparison/page.ts'
import { tableOf } from './comparison/results.ts'
import { quiet } from './quiet.ts'
import { machine, type Outcome, outcome, save, table } from './report.ts'
import type { Sample, Scenario } from './scenario.ts'
import { scenarios } from './scenarios/index.ts'

const options = readOptions()
const { quick } = options
const rounds = Number(options.rounds ?? (quick ? 3 : 5))
const patience = Number(options.patience)
if (!(patience >= 0)) refuse('--patience must be a number of seconds.')
const held = {
  finished: Number(options.finished ?? (quick ? 20_000 : 1_000_000)),
  delayed: Number(options.delayed ?? (quick ? 2000 : 100_000)),
}
if (!Object.values(held).every(Number.isInteger)) refuse('--finished and --delayed must be whole numbers.')
if (!Number.isInteger(rounds) || rounds < 1) refuse('--rounds must be a whole number from 1.')
const chosen = options.scenario && choose(options.scenario)

const facts = machine()
console.log(
  Object.entries(facts)
    .map(([name, value]) => `${name} ${value}`)
    .join(', '),
  '\n',
)
// What waits for something that keeps no process alive would end it, and seem to have ended well.
let isDone = false
process.once('exit', () => {
  if (isDone) return
  console.error('The benchmark ended before it was done.')
  process.exitCode ||= 1
})
if (chosen === undefined) await runComparison()
else await runScenarios(chosen)
isDone = true

function readOptions() {
  try {
    return parseArgs({
      options: {
        quick: { type: 'boolean', default: false },
        rounds: { type: 'string' },
        only: { type: 'string', multiple: true },
        scenario: { type: 'string', multiple: true },
        finished: { type: 'string' },
        delayed: { type: 'string' },
        patience: { type: 'string', default: '20' },
        page: { type: 'boolean', default: false },
        record: { type: 'boolean', default: false },
        check: { type: 'boolean', default: false },
      },
    }).values
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error))
  }
}

/** Ends the process: the command line is wrong. */
function refuse(message: string): never {
  console.error(`${message}\nThe beginning of bench/run.ts lists the options.`)
  process.exit(2)
}

async function runComparison(): Promise<void> {
  const extent = quick ? { seconds: 0.5, drained: 1000 } : { seconds: 2, drained: 10_000 }
  const results = await compare({ ...extent, rounds, patience, only: options.only })
  console.log(tableOf(results))
  console.log(save(facts, results))
  if (options.page) writePage(results, facts)
  if (options.record) record(results)
  const losses = options.check ? findLosses(results) : []
  for (const loss of losses) console.error(`Worse than recorded: ${loss}`)
  if (losses.length > 0) process.exitCode = 1
}

async function runScenarios(chosen: readonly Scenario[]): Promise<void> {
  const outcomes: Outcome[] = []
  for (const scenario of chosen) {
    const measured = outcome(scenario, await measure(scenario))
    outcomes.push(measured)
    console.log(table(measured))
  }
  console.log(save(facts, { scenarios: outcomes }))
}

function choose(names: readonly string[]): readonly Scenario[] {
  if (names.includes('all')) return scenarios
  const unknown = names.find(name => !scenarios.some(scenario => scenario.name === name))
  if (unknown !== undefined) {
    const known = scenarios.map(({ name }) => name).join(', ')
    refuse(`"${unknown}" is not a scenario. Use one of: ${known}, all.`)
  }
  return scenarios.filter(({ name }) => names.includes(name))
}

/** The first round warms up, and is not counted. */
async function measure(scenario: Scenario): Promise<readonly Sample[]> {
  const bench = new Bench({ quick, held })
  try {
    bench.say(`${scenario.name}: preparing`)
    const round = await scenario.prepare(bench)
    bench.say(`${scenario.name}: warming up`)
    await round()
    const samples: Sample[] = []
    for (let at = 0; at < rounds; at++) {
      const others = await quiet(patience)
      bench.say(`${scenario.name}: round ${at + 1} of ${rounds}`)
      samples.push({ ...(await round()), 'other programs before: cores': others })
    }
    return samples
  } finally {
    await bench.end()
  }
}
