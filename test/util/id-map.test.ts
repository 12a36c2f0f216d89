import v8 from 'node:v8'
import vm from 'node:vm'
import { expect, it } from 'vitest'
import { IdMap } from '../../src/util/id-map.ts'
import { newId } from '../../src/util/new-id.ts'

it('does what a map does, also with ids that end alike', () => {
  const map = new IdMap<number>()
  const model = new Map<string, number>()
  const ids = Array.from({ length: 300 }, (_, n) => (n % 3 === 0 ? `${n}-the-same` : newId()))
  for (let step = 0; step < 20_000; step++) {
    const id = ids[(step * 7919 + (step >> 3)) % ids.length] ?? ''
    // Grows to all ids and shrinks to none, again and again.
    if ((step * 31) % 97 < 20 + 55 * Math.abs(Math.sin(step / 2000))) {
      map.set(id, step)
      model.set(id, step)
    } else {
      map.delete(id)
      model.delete(id)
    }
    expect(map.get(id)).toBe(model.get(id))
    expect(map.size).toBe(model.size)
  }
  expect(map.ids().sort()).toEqual([...model.keys()].sort())
  expect(map.values().sort()).toEqual([...model.values()].sort())
  for (const id of ids) expect(map.get(id)).toBe(model.get(id))
  map.clear()
  expect([map.size, map.ids(), map.values(), map.get(ids[0] ?? '')]).toEqual([0, [], [], undefined])
})

it('keeps nothing of what came and went from the small collections', () => {
  v8.setFlagsFromString('--expose-gc')
  const collect = vm.runInNewContext('gc') as (options?: { type: 'minor' }) => void
  const map = new IdMap<number[]>()
  map.set('first', [])
  // The map itself is old, as in a process that has run for a while.
  collect()
  collect()
  const before = oldSpace()
  const ids = Array.from({ length: 4096 }, newId)
  ids.forEach((id, at) => {
    map.set(id, new Array(500).fill(at))
    map.delete(ids[at - 8] ?? '')
    if (at % 64 === 0) collect({ type: 'minor' })
  })
  const came = 4096 * 500 * 8
  expect(oldSpace() - before).toBeLessThan(came / 10)
})

function oldSpace(): number {
  return v8.getHeapSpaceStatistics().find(space => space.space_name === 'old_space')?.space_used_size ?? 0
}
