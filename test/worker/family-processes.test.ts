/** Parents and children in processes of their own, on each store; and what is left of them when those are killed. */
import { describe, expect } from 'vitest'
import type { Store } from 'waybill/adapters'
import { storeFromUrl } from 'waybill/from-url'
import { processLauncher } from 'waybill/launchers/process'
import { squares, sumOf, sums } from '../fixtures/handlers/family.ts'
import { Child } from '../support/child.ts'
import { atLength } from '../support/length.ts'
import { openStore, storePlaces } from '../support/store-places.ts'
import { hasFinished, resultOf, submit, type TestContext, test, until } from '../support/waybill.ts'

const HANDLERS = new URL('../fixtures/handlers/family.ts', import.meta.url)
const JOB = new URL('../fixtures/family-job.ts', import.meta.url)
const PROCESS = new URL('../fixtures/family-process.ts', import.meta.url)

const PLACES = storePlaces()
/** Without Cosmos DB, whose server is not that of a URL. */
const URLS = PLACES.filter(([name]) => name !== 'Cosmos DB')
/** Enough children that processes are killed while some have ended and others have not. */
const COUNT = atLength(30, 60)
/** Each is an execution. */
const CHILDREN = atLength(2, 3)

/** The parent has completed with the results of all of its children, each of which has run to one result. */
async function expectFamily(store: Store, parent: string, count: number): Promise<readonly string[]> {
  const { status, error, history } = await hasFinished(store, parent)
  expect([status, error]).toEqual(['completed', null])
  expect(await resultOf(store, parent)).toBe(sumOf(count))
  expect(await store.countChildren(parent)).toEqual({ unfinished: 0, completed: count, failed: 0, canceled: 0 })
  await until(async () => (await store.familyDue(10)).length === 0)
  return history.map(({ outcome }) => outcome)
}

describe.for(PLACES)('on %s', ([_, placeFor]) => {
  test('a parent and its children run in child processes, and the parent runs twice at most', async ({ lab }) => {
    const worker = { handlers: HANDLERS, run: 'children', concurrency: 2 } as const
    // Read without the time limit that a Waybill puts on its store, which a slow machine exceeds.
    const store = await openStore(lab, placeFor(lab))
    const waybill = await lab.waybill([sums, squares], { store, worker })
    const parent = await submit(waybill, sums, { count: 12 })
    const outcomes = await expectFamily(store, parent, 12)
    expect([['completed'], ['suspended', 'completed']]).toContainEqual(outcomes)
  })
})

describe.for(URLS)('on %s', ([_, urlFor]) => {
  test('a parent and its children are executions, and one that is suspended exits 0', async ({ lab }) => {
    const url = urlFor(lab)
    // There is a place for one: no child could run while its parent waits, did the parent keep it.
    const launcher = processLauncher({ entry: JOB, env: { TEST_STORE: url }, maxProcesses: 1 })
    const waybill = await lab.waybill([sums, squares], {
      store: await storeFromUrl(url),
      dispatcher: { launcher, reconcileInterval: 500 },
    })
    const parent = await submit(waybill, sums, { count: CHILDREN })
    const outcomes = await expectFamily(waybill.store, parent, CHILDREN)
    expect(outcomes).toEqual(['suspended', 'completed'])
    const { history } = (await waybill.store.read(parent)) ?? { history: [] }
    const executions = history.map(({ execution }) => execution ?? '')
    expect(new Set(executions).size).toBe(2)
    for (const execution of executions) {
      await until(async () => (await launcher.inspect(execution)).kind === 'gone')
      expect(await launcher.inspect(execution)).toMatchObject({ reason: expect.stringContaining('exit code 0') })
    }
  })
})

describe.for(PLACES)('on %s', ([_, placeFor]) => {
  test('a parent whose processes are killed again and again completes with each child once', async ({ lab }) => {
    const place = placeFor(lab)
    const store = await openStore(lab, place)
    const parent = await submit(lab.composition([sums, squares], { store }), sums, { count: COUNT })
    const completed = async () => (await store.countChildren(parent)).completed
    for (const share of atLength([0, 0.3, 1], [0, 0, 0.1, 0.3, 0.6, 0.9, 1])) {
      const child = await startProcess(lab, place)
      // Before a child has ended, while they end, and as the parent is woken.
      const isLate = async () => share === 0 || (await completed()) >= share * COUNT
      await until(isLate)
      await child.kill()
    }
    const last = await startProcess(lab, place)
    const outcomes = await expectFamily(store, parent, COUNT)
    await last.kill()
    expect(outcomes.filter(outcome => outcome === 'suspended').length).toBeLessThanOrEqual(1)
    expect(outcomes.filter(outcome => outcome === 'completed')).toHaveLength(1)
  })
})

async function startProcess(lab: TestContext, place: string): Promise<Child<never, string>> {
  const child = new Child<never, string>(PROCESS, place)
  lab.onEnd(() => child.kill())
  return await child.started()
}
