/**
 * The fault suite at length: `npm run faults -- --minutes 10 [--seed N]` runs it again and again, each
 * time with another seed, until the time is up or a promise is broken.
 */
import { spawnSync } from 'node:child_process'
import { parseArgs } from 'node:util'

/** Whose faults and commands are drawn by the seed. */
const FILES = [
  'test/worker/faults.test.ts',
  'test/launchers/container-apps/orders.test.ts',
  'test/stores/store-model.test.ts',
  'test/stores/postgres/model.test.ts',
  'test/stores/cosmos/model.test.ts',
  'test/model/state-machine-properties.test.ts',
]

const { values } = parseArgs({ options: { minutes: { type: 'string', default: '10' }, seed: { type: 'string' } } })
const minutes = Number(values.minutes)
if (!(minutes > 0)) {
  console.error(`--minutes must be a number above 0, not ${JSON.stringify(values.minutes)}.`)
  process.exit(2)
}

const end = performance.now() + minutes * 60_000
let rounds = 0
while (performance.now() < end) {
  const seed = values.seed ?? String(Math.floor(Math.random() * 2 ** 32))
  console.log(`faults: round ${rounds + 1}, seed ${seed}`)
  const { status } = spawnSync(process.execPath, ['node_modules/vitest/vitest.mjs', 'run', ...FILES], {
    stdio: 'inherit',
    env: { ...process.env, WAYBILL_SEED: seed, WAYBILL_ORDERS: '500', WAYBILL_ROUNDS: '5', WAYBILL_LISTS: '40' },
  })
  if (status !== 0) {
    console.error(`faults: a promise was broken in round ${rounds + 1}. Repeat it by --seed ${seed}.`)
    process.exit(1)
  }
  rounds++
}
console.log(`faults: ${rounds} rounds in ${minutes} minutes, 0 violations`)
