import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { Slots } from '../../src/worker/slots.ts'

const COUNT = 4

let now = 0

function makeSlots({ count = COUNT, ahead = true, isRemote = false } = {}): Slots {
  return new Slots({ count, ahead, isRemote, now: () => now })
}

/** A claim of all that there is room for, and attempts that end `ms` after it. */
async function claim(slots: Slots, ms: number, claimMs = 5): Promise<number> {
  const { room } = slots
  const asked = now
  now += claimMs
  slots.noteClaim(asked, true)
  const entering = Array.from({ length: room }, () => slots.enter())
  now += ms
  for (let left = room; left > 0; left -= COUNT) {
    await Promise.all(entering.splice(0, COUNT))
    for (let slot = 0; slot < Math.min(left, COUNT); slot++) slots.leave()
    await turn()
  }
  return room
}

/** Slots that have 12 attempts claimed ahead, and have just been given 16. */
async function claimSixteen(): Promise<{ slots: Slots; entering: Promise<boolean>[] }> {
  const slots = makeSlots()
  await claim(slots, 1)
  await claim(slots, 1)
  const asked = now
  now += 5
  slots.noteClaim(asked, true)
  expect(slots.room).toBe(16)
  return { slots, entering: Array.from({ length: 16 }, () => slots.enter()) }
}

describe('claiming ahead', () => {
  it('begins if attempts take less time than a claim, up to 8 for each slot', async () => {
    const slots = makeSlots()
    const rooms: number[] = []
    for (let round = 0; round < 7; round++) rooms.push(await claim(slots, 1))
    expect(rooms).toEqual([4, 4, 8, 16, 32, 36, 36])
  })

  it('goes further if a claim takes a round trip over a network, up to 15 for each slot', async () => {
    const slots = makeSlots({ isRemote: true })
    const rooms: number[] = []
    for (let round = 0; round < 7; round++) rooms.push(await claim(slots, 1))
    expect(rooms).toEqual([4, 4, 8, 16, 32, 64, 64])
  })

  it('does not begin if attempts take longer, or the last claim returned less than its limit', async () => {
    const slots = makeSlots()
    for (let round = 0; round < 5; round++) expect(await claim(slots, 5)).toBe(COUNT)
    now += 5
    slots.noteClaim(now - 5, false)
    expect(slots.room).toBe(COUNT)
  })

  it('does not begin if attempts take more than some milliseconds, however long a claim takes', async () => {
    const slots = makeSlots()
    for (let round = 0; round < 5; round++) expect(await claim(slots, 15, 100)).toBe(COUNT)
  })

  it('does not begin if the runner has its own limits', async () => {
    const slots = makeSlots({ ahead: false })
    for (let round = 0; round < 5; round++) expect(await claim(slots, 1)).toBe(COUNT)
  })

  it('delays the next claim until half of the operations that were claimed ahead have a slot', async () => {
    const { slots, entering } = await claimSixteen()
    await Promise.all(entering.splice(0, COUNT))
    expect(slots.room).toBe(0)
    for (let slot = 0; slot < COUNT; slot++) slots.leave()
    await Promise.all(entering.splice(0, COUNT))
    expect(slots.room).toBe(0)
    for (let slot = 0; slot < COUNT; slot++) slots.leave()
    await Promise.all(entering.splice(0, COUNT))
    expect(slots.room).toBe(8)
    slots.close()
  })

  it('halves after a long wait for a slot', async () => {
    const { slots, entering } = await claimSixteen()
    await Promise.all(entering.splice(0, COUNT))
    now += 30
    for (let left = 12; left > 0; left -= COUNT) {
      for (let slot = 0; slot < COUNT; slot++) slots.leave()
      await Promise.all(entering.splice(0, COUNT))
    }
    for (let slot = 0; slot < COUNT; slot++) slots.leave()
    expect(slots.room).toBe(COUNT + 1)
  })
})

describe('a slot', () => {
  it('is given to attempts in their order, and to no more than there are slots', async () => {
    const slots = makeSlots({ count: 1 })
    const order: number[] = []
    const entering = [1, 2, 3].map(async name => {
      if (await slots.enter()) order.push(name)
    })
    await turn()
    expect(order).toEqual([1])
    slots.leave()
    await entering[1]
    expect(order).toEqual([1, 2])
    slots.leave()
    await Promise.all(entering)
    expect(order).toEqual([1, 2, 3])
  })

  it('is awaited only for a short time, and not after the end', async () => {
    const slots = makeSlots({ count: 1 })
    expect(await slots.enter()).toBe(true)
    const late = slots.enter()
    now += 1000
    expect(await late).toBe(false)
    const waiting = slots.enter()
    slots.close()
    expect(await waiting).toBe(false)
    expect(await slots.enter()).toBe(false)
  })
})
