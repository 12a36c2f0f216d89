/**
 * How late a client that obeys `Retry-After` learns of an end, and how often it asks: a simulation, without a
 * server, of the estimates that a server makes. Beside it, a client that asks each 10 s, as the article's
 * server tells it, and one that asks each 2 s.
 */

import type { Operation } from '../../src/model/operation.ts'
import { QueueModel } from '../../src/service/estimator.ts'
import type { Scenario } from '../scenario.ts'

const OPERATIONS = 2000
const random = Math.random

/** How long operations take, in milliseconds. */
const DURATIONS: Readonly<Record<string, () => number>> = {
  constant: () => 10_000,
  'uniform 0 to 30 s': () => random() * 30_000,
  exponential: () => -Math.log(1 - random()) * 10_000,
  bimodal: () => (random() < 0.5 ? 1000 + random() * 1000 : 20_000 + random() * 2000),
}
/** How many wait before the operation, with eight that run: none, and a full queue. */
const QUEUES: Readonly<Record<string, number>> = { 'empty queue': 0, 'full queue': 40 }
const RUNNING = 8

/** After how many milliseconds a client asks again. */
type Poll = (now: number) => number

export const retryAfter: Scenario = {
  name: 'retry-after',
  about: 'a simulation: polls for each operation, and the mean lateness as a part of its whole duration',
  ratios: [],
  prepare: async () => async () => {
    const sample: Record<string, number> = {}
    for (const [kind, draw] of Object.entries(DURATIONS)) {
      for (const [queue, ahead] of Object.entries(QUEUES))
        Object.assign(sample, simulate(`${kind}, ${queue}`, draw, ahead))
    }
    return sample
  },
}

function simulate(name: string, draw: () => number, ahead: number): Record<string, number> {
  const totals = {
    obeying: { polls: 0, late: 0 },
    'each 10 s': { polls: 0, late: 0 },
    'each 2 s': { polls: 0, late: 0 },
  }
  let duration = 0
  for (let count = 0; count < OPERATIONS; count++) {
    const run = life(draw, ahead)
    duration += run.end
    const clients = { obeying: run.obeying, 'each 10 s': () => 10_000, 'each 2 s': () => 2000 }
    for (const [client, poll] of Object.entries(clients)) {
      const { polls, late } = follow(run.end, poll)
      totals[client as keyof typeof totals].polls += polls
      totals[client as keyof typeof totals].late += late
    }
  }
  return Object.fromEntries(
    Object.entries(totals).flatMap(([client, { polls, late }]) => [
      [`${name}, ${client}: polls`, polls / OPERATIONS],
      [`${name}, ${client}: late / duration`, late / duration],
    ]),
  )
}

/** One operation: when it ends, and what the server reports it meanwhile. Times in milliseconds from its acceptance. */
function life(draw: () => number, ahead: number): { end: number; obeying: Poll } {
  const starts = startsAfter(draw, ahead)
  const start = starts.at(-1) ?? 0
  const end = start + draw() + 10
  const durations = Array.from({ length: 100 }, draw)
  const obeying = (now: number): number => {
    const before = starts.filter(at => at > now).length - (now < start ? 1 : 0)
    const ready = Array.from({ length: Math.max(0, before) }, (_, index) => `before-${index}`)
    const running = ahead === 0 && now < start ? 0 : RUNNING
    const model = new QueueModel(
      { ready: [...ready, 'it'], depth: ready.length + 1, running, oldestAt: 0, durations },
      now,
    )
    const status = now < start ? 'pending' : 'running'
    const operation = { id: 'it', status, runAt: null, progress: null, attemptStartedAt: start } as Operation
    return Math.ceil(model.estimate(operation, now).retryAfterMs / 1000) * 1000
  }
  return { end, obeying }
}

/** When each of those before it, and then itself, begins: whenever one of the slots is free. */
function startsAfter(draw: () => number, ahead: number): number[] {
  if (ahead === 0) return [0]
  const free = Array.from({ length: RUNNING }, () => draw() * random())
  return Array.from({ length: ahead + 1 }, () => {
    const slot = free.indexOf(Math.min(...free))
    const at = free[slot] ?? 0
    free[slot] = at + draw()
    return at
  })
}

function follow(end: number, poll: Poll): { polls: number; late: number } {
  let now = poll(0)
  let polls = 1
  for (; now < end; polls++) now += poll(now)
  return { polls, late: now - end }
}
