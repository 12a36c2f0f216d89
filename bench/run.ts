/**
 * `npm run bench`: measures the built package beside what a bare server and the disk can do, all
 * in one run. `docs/benchmarks.md` tells what is measured and how to read it.
 *
 *   --quick        short rounds, three of them: to see that it works
 *   --rounds N     how often each scenario is measured; default 5
 *   --only NAME    one scenario; may be given again
 *   --patience S   how many seconds each round waits for other programs to leave the machine alone; default 20
 */
import { parseArgs } from 'node:util'
import { Bench } from './bench.ts'
import { quiet } from './quiet.ts'
import { machine, type Outcome, outcome, save, table } from './report.ts'
import type { Sample, Scenario } from './scenario.ts'
import { scenarios } from './scenarios/index.ts'

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    only: { type: 'string', multiple: true },
    patience: { type: 'string', default: '20' },
  },
})
const { quick } = options
const rounds = Number(options.rounds ?? (quick ? 3 : 5))
const patience = Number(options.patience)
if (!(patience >= 0)) throw new TypeError('--patience must be a number of seconds.')
if (!Number.isInteger(rounds) || rounds < 1) throw new TypeError('--rounds must be a whole number from 1.')

const facts = machine()
console.log(
  Object.entries(facts)
    .map(([name, value]) => `${name} ${value}`)
    .join(', '),
  '\n',
)
const outcomes: Outcome[] = []
for (const scenario of chosen(options.only)) {
  const measured = outcome(scenario, await measure(scenario))
  outcomes.push(measured)
  console.log(table(measured))
}
console.log(save(facts, outcomes))

function chosen(only: readonly string[] | undefined): readonly Scenario[] {
  const unknown = only?.find(name => !scenarios.some(scenario => scenario.name === name))
  if (unknown !== undefined) {
    throw new TypeError(`There is no scenario "${unknown}"; there are ${scenarios.map(({ name }) => name).join(', ')}.`)
  }
  return only === undefined ? scenarios : scenarios.filter(({ name }) => only.includes(name))
}

/** The first round warms up, and is not counted. */
async function measure(scenario: Scenario): Promise<readonly Sample[]> {
  const bench = new Bench({ quick })
  try {
    const round = await scenario.prepare(bench)
    await round()
    const samples: Sample[] = []
    for (let at = 0; at < rounds; at++) {
      const others = await quiet(patience)
      samples.push({ ...(await round()), 'other programs before: cores': others })
    }
    return samples
  } finally {
    await bench.end()
  }
}
