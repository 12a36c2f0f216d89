/** Each call that parents and children make of their store fails once in each way, and every parent completes. */
import { expect } from 'vitest'
import type { Submission } from '../../src/model/submission.ts'
import { CHILDREN_STEP } from '../../src/model/waits.ts'
import type { Note, Store } from '../../src/stores/store.ts'
import { squares, sumOf, sums } from '../fixtures/handlers/family.ts'
import { changesOf, FAULTS, type Fault, Faults, type Given, timeoutFor } from '../support/faults.ts'
import { atLength } from '../support/length.ts'
import { collectUnhandled } from '../support/unhandled.ts'
import { hasFinished, resultOf, submit, type TestContext, test, until } from '../support/waybill.ts'

const COUNT = 3

const CALLS: Record<string, { method: keyof Store; fits?: (given: Given) => boolean }> = {
  'the mark of a parent': { method: 'change', fits: changesOf('has-children') },
  'the acceptance of a child': {
    method: 'accept',
    fits: ([given]) => typeof (given as Submission).parent === 'string',
  },
  'the record of children': { method: 'appendNote', fits: ([, note]) => recordsChildren(note as Note) },
  'a list of children': { method: 'listChildren' },
  'a read': { method: 'read' },
  'a read of a result': { method: 'readPayload' },
  'a look at what is due': { method: 'familyDue' },
  'a count of children': { method: 'countChildren' },
  'a report to a parent': { method: 'change', fits: changesOf('children-ended') },
  'the end of a follow-up': { method: 'change', fits: changesOf('family-told') },
}

function recordsChildren(note: Note): boolean {
  return note.kind === 'step' && note.name.startsWith(CHILDREN_STEP)
}

const unhandled = collectUnhandled()

async function familyWith(lab: TestContext, fault: Fault, run: 'inline' | 'children') {
  const faults = new Faults()
  const waybill = await lab.waybill([sums, squares], {
    store: faults.of(await lab.store()),
    storeTimeout: timeoutFor(fault),
    worker: { handlers: new URL('../fixtures/handlers/family.ts', import.meta.url), run, concurrency: 2 },
  })
  return { faults, waybill }
}

/** Children send their calls to the worker, which makes them: one fault shows that. */
const BY_RUN = { inline: FAULTS, children: atLength<readonly Fault[]>(FAULTS.slice(0, 1), FAULTS) }

for (const run of ['inline', 'children'] as const) {
  test.for(BY_RUN[run])(`every parent completes if a call %s, with handlers in ${run}`, async (fault, { lab }) => {
    const { faults, waybill } = await familyWith(lab, fault, run)
    for (const [name, { method, fits }] of Object.entries(CALLS)) {
      faults.arm(method, fault, fits)
      const id = await submit(waybill, sums, { count: COUNT })
      await until(() => !faults.isArmed)
      const { status, error } = await hasFinished(waybill.store, id)
      expect([status, error], name).toEqual(['completed', null])
      expect(await resultOf(waybill.store, id), name).toBe(sumOf(COUNT))
      const counts = await waybill.store.countChildren(id)
      expect(counts, name).toEqual({ unfinished: 0, completed: COUNT, failed: 0, canceled: 0 })
      await until(async () => (await waybill.store.familyDue(10)).length === 0)
      expect(unhandled, name).toEqual([])
    }
  })

  test.for(BY_RUN[run])(
    `a cancel reaches every child if a call %s, with handlers in ${run}`,
    async (fault, { lab }) => {
      const { faults, waybill } = await familyWith(lab, fault, run)
      const { store, operator } = waybill
      await operator.pause(squares.name, { name: 'test' })
      for (const method of ['steps', 'listChildren', 'change'] as const) {
        const id = await submit(waybill, sums, { count: COUNT })
        await until(async () => (await store.countChildren(id)).unfinished === COUNT)
        await until(async () => (await store.read(id))?.history.at(-1)?.outcome === 'suspended')
        const isOfChild = (given: Given) => given[0] !== id && changesOf('cancel')(given)
        faults.arm(method, fault, method === 'change' ? isOfChild : undefined)
        await store.change(id, { kind: 'cancel' })
        await until(() => !faults.isArmed)
        await until(async () => (await store.countChildren(id)).canceled === COUNT)
        expect(unhandled, method).toEqual([])
      }
    },
  )
}
