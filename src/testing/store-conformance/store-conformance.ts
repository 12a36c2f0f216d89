/** Registers the conformance suite of stores with a test runner. */
import type { Store } from '../../stores/store.ts'
import type { ManualClock } from '../manual-clock.ts'
import { acceptTests } from './accept-tests.ts'
import { browseTests } from './browse-tests.ts'
import { changeTests } from './change-tests.ts'
import { checkTests } from './check-tests.ts'
import { claimTests } from './claim-tests.ts'
import { clockTests } from './clock-tests.ts'
import { closeTests, reopenTests } from './close-tests.ts'
import { type StoreHolds, type StoreTest, type StoreTests, withStoreTest } from './context.ts'
import { dumpTests } from './dump-tests.ts'
import { familyTests } from './family-tests.ts'
import { holdTests } from './hold-tests.ts'
import { knownTests } from './known-tests.ts'
import { launchTests } from './launch-tests.ts'
import { leaseTests } from './lease-tests.ts'
import { listTests } from './list-tests.ts'
import { lostInputTests } from './lost-input-tests.ts'
import { noteTests } from './note-tests.ts'
import { outcomeTests } from './outcome-tests.ts'
import { purgeTests } from './purge-tests.ts'
import { queueTests } from './queue-tests.ts'
import { sweepTests } from './sweep-tests.ts'
import { waitTests } from './wait-tests.ts'
import { watchTests } from './watch-tests.ts'
import { webhookTests } from './webhook-tests.ts'

/** What the suite needs of a test runner; `node:test`, Vitest and Jest have it. */
export interface TestFunctions {
  readonly describe: (name: string, body: () => void) => unknown
  readonly it: (name: string, body: () => Promise<void>) => unknown
}

/** A test that a store does not pass, with the reason. */
export interface ConformanceSkip {
  /** The test's whole name. */
  readonly test: string
  readonly reason: string
}

/** What {@link storeConformance} needs to know about a store. */
export interface StoreConformanceOptions {
  /** What the suite is named after. */
  readonly name: string
  /** Opens an empty store on the clock. Called once for each test; the suite closes it. */
  readonly open: (clock: ManualClock) => Promise<Store>
  /**
   * Opens one more store on the data of the one that `open` gave last, as another process would. Without it, tests that
   * need two stores are left out.
   */
  readonly reopen?: (clock: ManualClock) => Promise<Store>
  /** Locks records, as another program would. Without it, the tests of locked records are left out. */
  readonly hold?: StoreHolds
  /**
   * Removes the input of an operation from the store that was opened last, as a damaged disk would. Without it, these
   * tests are left out.
   */
  readonly loseInput?: (id: string) => Promise<void>
  /** Deviations; each test must be one of the suite. */
  readonly skip?: readonly ConformanceSkip[]
}

const GROUPS: readonly StoreTests[] = [
  acceptTests,
  claimTests,
  leaseTests,
  outcomeTests,
  waitTests,
  changeTests,
  knownTests,
  noteTests,
  listTests,
  browseTests,
  queueTests,
  launchTests,
  sweepTests,
  purgeTests,
  clockTests,
  webhookTests,
  familyTests,
  dumpTests,
  watchTests,
  checkTests,
  closeTests,
]

/**
 * Registers the suite: every rule of the store's contract, against the store itself. It fails
 * through `node:assert`, takes all time from a manual clock, and waits for nothing but the store.
 *
 * @throws {TypeError} when a deviation names no test of the suite
 *
 * @example
 * import { describe, it } from 'node:test'
 *
 * const open = async () => {
 *   await store.open()
 *   return store
 * }
 * storeConformance({ name: 'my store', open }, { describe, it })
 */
export function storeConformance(options: StoreConformanceOptions, { describe, it }: TestFunctions): void {
  const groups = [
    ...GROUPS,
    ...(options.reopen ? [reopenTests] : []),
    ...(options.hold ? [holdTests] : []),
    ...(options.loseInput ? [lostInputTests] : []),
  ]
  const skipped = skippedNames(options.skip ?? [], groups)
  describe(`${options.name} keeps the contract of a store`, () => {
    for (const group of groups) {
      describe(group.name, () => {
        for (const [name, body] of Object.entries(group.tests)) {
          if (!skipped.has(name)) it(name, () => withStoreTest(options, (test: StoreTest) => body(test)))
        }
      })
    }
  })
}

function skippedNames(skip: readonly ConformanceSkip[], groups: readonly StoreTests[]): ReadonlySet<string> {
  const known = new Set(groups.flatMap(group => Object.keys(group.tests)))
  for (const { test } of skip) {
    if (!known.has(test)) throw new TypeError(`There is no test "${test}" in the suite of stores to skip.`)
  }
  return new Set(skip.map(({ test }) => test))
}
