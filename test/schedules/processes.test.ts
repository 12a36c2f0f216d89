/** Processes that have the same schedule, some of which are killed: each tick once. */
import { describe, expect } from 'vitest'
import type { Store } from 'waybill/adapters'
import { Child } from '../support/child.ts'
import { atLength } from '../support/length.ts'
import { openStore, storePlaces } from '../support/store-places.ts'
import { type TestContext, test, until } from '../support/waybill.ts'

const PROGRAM = new URL('../fixtures/schedule-process.ts', import.meta.url)
const SECOND = 1000
const COUNT = atLength(2, 3)

async function start(lab: TestContext, place: string): Promise<Child<never, string>> {
  const child = new Child<never, string>(PROGRAM, place)
  lab.onEnd(() => child.kill())
  return await child.started()
}

/** The times of the ticks that were submitted, in their order, and the processes that submitted them. */
async function ticksIn(store: Store): Promise<readonly { readonly tick: number; readonly process: number }[]> {
  const found = await store.list({ type: 'reports', owner: '', limit: 1000 })
  const inputs = await Promise.all(found.map(({ id }) => store.readPayload(id, 'input')))
  return inputs
    .map(input => JSON.parse(input ?? '') as { tick: number; process: number })
    .sort((a, b) => a.tick - b.tick)
}

/** Whether there is each tick from the first to the last, once. */
function isWhole(ticks: readonly { readonly tick: number }[]): boolean {
  const first = ticks[0]?.tick ?? 0
  return ticks.every(({ tick }, index) => tick === first + index * SECOND)
}

describe.for(storePlaces())('on %s', ([_, placeFor]) => {
  test(`each tick happens once with ${COUNT} processes, which are killed one after the other`, async ({ lab }) => {
    const place = placeFor(lab)
    const store = await openStore(lab, place)
    const processes: Child<never, string>[] = []
    while (processes.length < COUNT) processes.push(await start(lab, place))
    const more = async (count: number) => {
      const before = (await ticksIn(store)).length
      await until(async () => (await ticksIn(store)).length >= before + count)
    }
    for (const child of processes) {
      await more(2)
      await child.kill()
    }
    // With none of them alive, ticks are missed; they are caught up.
    const before = Date.now()
    await until(() => Date.now() > before + 2 * SECOND)
    const last = await start(lab, place)
    await more(4)
    // It may submit the next tick before all that were missed.
    await until(async () => isWhole(await ticksIn(store)))
    await last.kill()
    const ticks = await ticksIn(store)
    expect(isWhole(ticks)).toBe(true)
    expect(ticks.at(-1)?.process).toBe(last.pid)
  })
})
