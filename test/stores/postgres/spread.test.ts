import { expect, it } from 'vitest'
import { Spread } from '../../../src/stores/postgres/spread.ts'
import type { Hint } from '../../../src/stores/store.ts'

const ID = '01985c00-0000-7000-8000-000000000001'
const READY = { kind: 'ready', type: 'orders' } as const
const ENDED = { kind: 'ended', id: ID } as const

/** A spread of this length, and what comes of it. */
function spreadOf(spreadMs: number): { spread: Spread; sent: Hint[] } {
  const sent: Hint[] = []
  return { spread: new Spread({ pace: { spreadMs: () => spreadMs }, send: hint => void sent.push(hint) }), sent }
}

it('hints are passed on at once between few processes', () => {
  const { spread, sent } = spreadOf(0)
  for (const hint of [READY, ENDED, READY]) spread.hear(hint)
  expect(sent).toEqual([READY, ENDED, READY])
})

it('hints of ready work are joined over some time, and others are passed on at once', async () => {
  const { spread, sent } = spreadOf(100)
  for (const hint of [READY, READY, ENDED, READY]) spread.hear(hint)
  expect(sent).toEqual([ENDED])
  await expect.poll(() => sent).toEqual([ENDED, READY])
  spread.stop()
})

it('hints are passed on for each type', async () => {
  const { spread, sent } = spreadOf(1)
  const others = { kind: 'ready', type: 'refunds' } as const
  for (const hint of [READY, others]) spread.hear(hint)
  await expect.poll(() => sent).toHaveLength(2)
  expect(sent).toEqual(expect.arrayContaining([READY, others]))
})

it('no hint is passed on after the end', async () => {
  const { spread, sent } = spreadOf(1)
  spread.hear(READY)
  spread.stop()
  await new Promise(resolve => setTimeout(resolve, 5))
  expect(sent).toEqual([])
})
