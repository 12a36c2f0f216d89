import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** Files that take longest, of which size says nothing: several processes, whole suites, much waiting. */
const LONGEST = [
  'console/console',
  'example/example',
  'example/page',
  'worker/family-processes',
  'stores/cosmos/conformance',
  'package/readme',
  'worker/faults',
  'schedules/schedules',
  'http/store-faults',
  'worker/running-attempt',
  'stores/postgres/faults',
  'example/history',
  'worker/children-starts',
  'stores/postgres/hints',
  'launchers/container-apps/dispatch',
  'worker/children',
  'package/examples',
  'worker/run-operation',
  'launchers/container-apps/container-apps',
  'cli/work',
  'stores/postgres/idle',
]

/** Begins with the longest files, so that none of them runs alone in the end; then Vitest's own order. */
export default class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files)
    return [...sorted.filter(isLong), ...sorted.filter(file => !isLong(file))]
  }
}

function isLong({ moduleId }: TestSpecification): boolean {
  return LONGEST.some(name => moduleId.endsWith(`/test/${name}.test.ts`))
}
