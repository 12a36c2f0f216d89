import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** Files that take longest, of which size says nothing: several processes, whole suites, much waiting. */
const LONGEST = [
  'worker/faults',
  'stores/cosmos/conformance',
  'stores/postgres/conformance',
  'worker/running-attempt',
  'example/page',
  'http/store-faults',
  'console/console',
  'worker/children-starts',
  'stores/family-faults',
  'schedules/schedules',
  'example/example',
  'example/history',
  'launchers/kubernetes/kubernetes',
  'launchers/container-apps/dispatch',
  'worker/children',
  'stores/store-faults',
  'stores/postgres/faults',
  'worker/children-processes',
  'schedules/processes',
  'stores/sqlite/lost-file',
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
