/**
 * A batch whose processes are killed one after the other: while it submits its items, while they run, and while their ends
 * are reported. `WAYBILL_BATCH=10000 npx vitest run test/batches/batches-crash.test.ts` does it with more.
 */
import { describe, expect } from 'vitest'
import type { Store } from 'waybill/adapters'
import { isFinal } from '../../src/model/protocol.ts'
import { toSubmission } from '../../src/model/submit-request.ts'
import { SQUARE, SQUARE_BATCHES, SQUARES } from '../fixtures/batch-types.ts'
import { Child } from '../support/child.ts'
import { atLength } from '../support/length.ts'
import { openStore, storePlaces } from '../support/store-places.ts'
import { hasFinished, recordOf, test, until } from '../support/waybill.ts'

const COUNT = Number(process.env.WAYBILL_BATCH ?? atLength(200, 800))
const BAD = 10
/** Each death by the method of the store that it comes in, and by the number of the call. */
const DEATHS = [
  ['accept', COUNT / 2],
  ['appendNote', 2],
  ['change', Math.round(COUNT / 3)],
  ['change', COUNT],
  ['familyDue', 2],
] as const

async function isFollowedUp(store: Store, batch: string): Promise<boolean> {
  const { status } = await recordOf(store, batch)
  return isFinal(status) && (await store.familyDue(1)).length === 0
}

describe.for(storePlaces())('on %s', ([_, placeFor]) => {
  test(`each valid item of a batch of ${COUNT} with ${BAD} invalid items gets its result`, async ({ lab }) => {
    const place = placeFor(lab)
    const store = await openStore(lab, place)
    const items = Array.from({ length: COUNT }, (_, of) => ({ of: of % (COUNT / BAD) === 5 ? 'five' : of }))
    const submission = toSubmission(SQUARE_BATCHES, { input: items }, null)
    await store.accept(submission)

    const program = new URL('../fixtures/batch-process.ts', import.meta.url)
    for (const [method, number] of DEATHS) {
      const child = new Child(program, place, method, String(number))
      lab.onEnd(() => child.kill())
      let isDead = false
      void child.ended().then(() => {
        isDead = true
      })
      // The others may have left it less to do than it takes to come to its death.
      await until(async () => isDead || (await isFollowedUp(store, submission.id)))
      await child.kill()
    }
    const waybill = await lab.waybill([SQUARES, SQUARE_BATCHES], {
      store,
      worker: { handlers: SQUARE, concurrency: 64 },
    })
    const batch = await hasFinished(store, submission.id)
    const counts = { completed: COUNT - BAD, failed: BAD, canceled: 0 }
    expect(await store.readPayload(batch.id, 'output')).toBe(JSON.stringify({ total: COUNT, ...counts }))
    expect(await store.countChildren(batch.id)).toEqual({ unfinished: 0, ...counts })
    const children = await waybill.operations.children(batch)
    expect(children).toHaveLength(COUNT)
    for (const { key, id } of children) {
      const { status, history } = (await store.read(id)) ?? { history: [] }
      const isBad = items[Number(key)]?.of === 'five'
      expect(status).toBe(isBad ? 'failed' : 'completed')
      expect(history.filter(({ outcome }) => outcome === 'completed')).toHaveLength(isBad ? 0 : 1)
      if (!isBad) expect(await store.readPayload(id, 'output')).toBe(String(Number(key) ** 2))
    }
    await until(async () => (await store.familyDue(1)).length === 0)
  })
})
