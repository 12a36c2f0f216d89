/**
 * An act on many operations whose process is killed in the middle: all are acted on once, and the count is right.
 * `WAYBILL_BULK=10000 npx vitest run test/operator/bulk-crash.test.ts` does it with more.
 */
import { expect } from 'vitest'
import { sqliteStore } from 'waybill/stores/sqlite'
import { problem } from '../../src/model/problem.ts'
import { accepted, changed, claimed } from '../../src/model/state-machine.ts'
import type { Dump, Store } from '../../src/stores/store.ts'
import { ORDERS } from '../fixtures/operator-types.ts'
import { Child } from '../support/child.ts'
import { submissionOf } from '../support/submission.ts'
import { test, until } from '../support/waybill.ts'

const COUNT = Number(process.env.WAYBILL_BULK ?? 1000)

interface Report {
  readonly did: string
  readonly id: string
}

function failed(number: number): Dump {
  const now = Date.now()
  const id = `01941f29-7c00-7000-8000-${number.toString(16).padStart(12, '0')}`
  const running = claimed(accepted(submissionOf(id), now), { holder: 'h', leaseMs: 1000 }, now)
  const outcome = { kind: 'failed', problem: problem('operation-failed') } as const
  const operation = running && changed(running, { kind: 'finish', attempt: 1, outcome }, now)
  if (operation === undefined) throw new Error(`${id} did not fail.`)
  return { operation, input: '1', output: null, steps: [['charge', '1']], logs: [], errors: [], purgeAt: null }
}

async function countRetried(store: Store): Promise<{ retried: number; retries: ReadonlySet<string> }> {
  let [retried, after] = [0, undefined as string | undefined]
  const retries = new Set<string>()
  do {
    const page = await store.browse({ type: ORDERS.name, limit: 1000, after })
    for (const { retriedBy, retryOf } of page.operations) {
      if (retriedBy !== null) retried++
      if (retryOf !== null) retries.add(retryOf)
    }
    after = page.next
  } while (after !== undefined)
  return { retried, retries }
}

test(`a retry of ${COUNT} continues after its process was killed`, async ({ lab }) => {
  const path = lab.file()
  const store = await lab.store(path)
  const dumps = Array.from({ length: COUNT }, (_, number) => failed(number))
  while (dumps.length > 0) await store.restore(dumps.splice(0, 500))

  const program = new URL('../fixtures/operator-process.ts', import.meta.url)
  const child = new Child<{ text: string }, Report>(program, path, String(COUNT / 2))
  lab.onEnd(() => child.kill())
  await child.report(({ did }) => did === 'start')
  child.tell({ text: 'status:failed type:orders' })
  const { id } = await child.report(({ did }) => did === 'bulk')
  await child.ended()
  const before = (await countRetried(store)).retried
  expect([before > 0, before < COUNT]).toEqual([true, true])

  const { operator } = await lab.waybill([ORDERS], { store: sqliteStore({ path, synchronous: 'NORMAL' }) })
  await until(async () => (await operator.bulkRun(id))?.status === 'completed')
  expect(await operator.bulkRun(id)).toMatchObject({ matched: COUNT, done: COUNT, skipped: 0, failed: 0 })
  const { retried, retries } = await countRetried(store)
  expect([retried, retries.size]).toEqual([COUNT, COUNT])
  expect((await operator.browse({ status: 'pending' }, { limit: 500 })).items[0]?.retryOf).not.toBeNull()
  expect((await operator.audit()).items).toMatchObject([{ action: 'bulk-retry', actor: 'ann', count: COUNT }])
})
