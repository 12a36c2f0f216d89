import type { Reporter, TestCase, TestModule } from 'vitest/node'

interface Totals {
  passed: number
  failed: number
  skipped: number
}

/**
 * Ends a run with one plain line, `N passed, N failed, N skipped`, for programs to read.
 *
 * Each failure outside a test (a file that does not load, a hook of a suite, an unhandled rejection) counts as one, so
 * that the line never says `0 failed` about a run that failed.
 */
export default class TotalsReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    const totals: Totals = { passed: 0, failed: unhandledErrors.length, skipped: 0 }
    for (const module of modules) addModule(totals, module)
    console.log(`${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`)
  }
}

function addModule(totals: Totals, module: TestModule): void {
  for (const test of module.children.allTests()) totals[outcome(test)] += 1
  totals.failed += module.errors().length
  for (const suite of module.children.allSuites()) totals.failed += suite.errors().length
}

function outcome(test: TestCase): keyof Totals {
  const { state } = test.result()
  return state === 'passed' || state === 'failed' ? state : 'skipped'
}
