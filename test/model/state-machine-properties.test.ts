/** What holds for every operation, whatever happens to it and in which order. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  type Change,
  type ClaimBy,
  countedAttempts,
  HISTORY_LIMIT,
  hasChildren,
  isSuspended,
  type Operation,
  type Outcome,
} from '../../src/model/operation.ts'
import { problem } from '../../src/model/problem.ts'
import { isFinal } from '../../src/model/protocol.ts'
import { accepted, changed, claimed, expired, hasJustEnded, launching, renewed } from '../../src/model/state-machine.ts'
import { isOver, NEVER_DUE, WAIT_KINDS, type WaitRequest } from '../../src/model/waits.ts'
import { submissionOf } from '../support/submission.ts'

/** What happens, and how many milliseconds after what happened before. */
type Event = { readonly after: number } & (
  | { readonly do: 'renew' | 'launch' | 'expire' }
  | { readonly do: 'claim'; readonly execution: Pick<ClaimBy, 'execution' | 'engine'> }
  | { readonly do: 'change'; readonly change: Change }
)

/** The operation before an event, what became of it (nothing where it was refused), and when. */
interface Step {
  readonly event: Event
  readonly before: Operation
  readonly after: Operation | undefined
  readonly now: number
}

const NO = problem('operation-failed', 'No.')
const start = fc
  .record({
    maxAttempts: fc.integer({ min: 1, max: 5 }),
    maxLost: fc.integer({ min: 0, max: 5 }),
    retention: fc.nat(10_000),
    startWithin: fc.option(fc.nat(5000)),
    endWithin: fc.option(fc.nat(20_000)),
    delay: fc.nat(5000),
    webhookUrl: fc.constantFrom(null, 'https://hooks.example/'),
    parent: fc.constantFrom(null, 'p'),
  })
  .map(parts => accepted(submissionOf('a', parts), 0))

const waits: fc.Arbitrary<WaitRequest[]> = fc.array(
  fc.record({
    kind: fc.constantFrom(...WAIT_KINDS),
    name: fc.constantFrom('a', 'b'),
    withinMs: fc.option(fc.nat(5000)),
    left: fc.nat(2),
    told: fc.nat(2),
  }),
  { minLength: 1, maxLength: 3 },
)
const outcome: fc.Arbitrary<Outcome> = fc.oneof(
  { arbitrary: fc.constant({ kind: 'retry', problem: NO, delayMs: 100 } as const), weight: 4 },
  { arbitrary: fc.constant({ kind: 'released' } as const), weight: 6 },
  { arbitrary: fc.record({ kind: fc.constant('suspended'), waits }), weight: 4 },
  fc.constant({ kind: 'completed', output: '1' } as const),
  fc.constant({ kind: 'failed', problem: NO } as const),
  fc.constant({ kind: 'canceled', problem: problem('operation-canceled') } as const),
)
// Mostly the attempt and the launch that there are: they are filled in when the event comes.
const number = fc.constantFrom(-1, -1, -1, -1, 0, 1, 2)
const change: fc.Arbitrary<Change> = fc.oneof(
  { arbitrary: fc.record({ kind: fc.constant('finish'), attempt: number, outcome }), weight: 6 },
  fc.record({ kind: fc.constant('progress'), attempt: number, progress: fc.constant({ fraction: 0.5 }) }),
  fc.constant({ kind: 'cancel' } as const),
  fc.record({
    kind: fc.constant('launched'),
    launch: number,
    execution: fc.constant('job-1'),
    engine: fc.constant('jobs'),
  }),
  fc.record({ kind: fc.constant('launch-refused'), launch: number, delayMs: fc.nat(100) }),
  fc.record({ kind: fc.constant('abandon'), attempt: number, reason: fc.constant('Gone.') }),
  {
    arbitrary: fc.record({ kind: fc.constant('event'), name: fc.constantFrom('a', 'b'), value: fc.constant('1') }),
    weight: 2,
  },
  fc.constant({ kind: 'refuse', problem: NO } as const),
  fc.record({ kind: fc.constant('has-children'), attempt: number }),
  { arbitrary: fc.record({ kind: fc.constant('children-ended'), unfinished: fc.nat(3), told: fc.nat(2) }), weight: 2 },
  fc.constant({ kind: 'family-told' } as const),
  fc.constant({ kind: 'webhook-accepted' } as const),
  fc.constant({ kind: 'retried', by: 'b' } as const),
)
const execution = fc.constantFrom(
  {},
  { execution: null },
  { execution: 'job-1' },
  { execution: 'job-2', engine: 'own' },
)
const after = fc.oneof({ arbitrary: fc.nat(50), weight: 9 }, fc.constantFrom(-40, 1000, 40_000))
const event: fc.Arbitrary<Event> = fc.oneof(
  { arbitrary: fc.record({ do: fc.constant('claim'), after, execution }), weight: 8 },
  { arbitrary: fc.record({ do: fc.constant('change'), after, change }), weight: 10 },
  fc.record({ do: fc.constantFrom('renew', 'launch', 'expire'), after }),
)

const life = fc.tuple(start, fc.array(event, { maxLength: 200 })).map(([operation, events]) => live(operation, events))

function live(operation: Operation, events: readonly Event[]): Step[] {
  const steps: Step[] = []
  let before = operation
  let now = 0
  for (const it of events) {
    now += it.after
    const step = { event: it, before: deepFreeze(before), after: happen(before, it, now), now }
    steps.push(step)
    before = step.after ?? before
  }
  return steps
}

function happen(operation: Operation, it: Event, now: number): Operation | undefined {
  switch (it.do) {
    case 'claim':
      return claimed(operation, { holder: 'h', leaseMs: 30_000, ...it.execution }, now)
    case 'renew':
      return renewed(operation, operation.attempt, 30_000, now)
    case 'launch':
      return launching(operation, 500, now)
    case 'expire':
      return expired(operation, now)
    case 'change':
      return changed(operation, aimed(operation, it.change), now)
  }
}

function aimed(operation: Operation, it: Change): Change {
  if ('attempt' in it && it.attempt < 0) return { ...it, attempt: operation.attempt }
  if ('launch' in it && it.launch < 0) return { ...it, launch: operation.launches }
  return it
}

/** So that a function that changes what it was given fails at once. */
function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  for (const member of Object.values(value)) deepFreeze(member)
  return Object.freeze(value)
}

/** Holds for each step that was not refused. */
function always(holds: (step: Step & { after: Operation }) => void): void {
  fc.assert(
    fc.property(life, steps => {
      for (const step of steps) if (step.after !== undefined) holds({ ...step, after: step.after })
    }),
    { numRuns: 300 },
  )
}

/** What a client can see of an operation, apart from its version. */
function visible(operation: Operation): unknown {
  const {
    version: _,
    leaseUntil: __,
    launches: ___,
    execution: ____,
    engine: _____,
    runAt: ______,
    webhookDue: _______,
    familyDue: _________,
    waits,
    retriedBy: ________,
    ...rest
  } = operation
  // That it has children shows in their number.
  return { ...rest, open: waits?.open ?? [], received: waits?.received ?? [] }
}

describe('every operation', () => {
  it('keeps its final status and its data forever', () => {
    always(({ before, after }) => {
      const fixed = { webhookDue: true, familyDue: true, retriedBy: null }
      if (isFinal(before.status)) expect({ ...after, ...fixed }).toEqual({ ...before, ...fixed })
    })
  })

  it('accepts only the notes about its webhook, its retry and its family once it has ended', () => {
    always(({ before, event: it }) => {
      const kinds = ['webhook-accepted', 'family-told', 'retried']
      if (isFinal(before.status)) expect(kinds).toContain(it.do === 'change' && it.change.kind)
    })
  })

  it('is reported as just ended by the change that ends it, and by no other', () => {
    always(({ before, after, event: it }) => {
      if (it.do !== 'change' && it.do !== 'expire') return
      const kind = it.do === 'change' ? it.change.kind : undefined
      expect(hasJustEnded(after, kind)).toBe(isFinal(after.status) && !isFinal(before.status))
    })
  })

  it('has a version that grows by one with each change that a client can see, and never by more', () => {
    always(({ before, after }) => {
      const shown = JSON.stringify(visible(before)) !== JSON.stringify(visible(after))
      expect(after.version - before.version).toBeGreaterThanOrEqual(shown ? 1 : 0)
      expect(after.version - before.version).toBeLessThanOrEqual(1)
    })
  })

  it('has an attempt number that never falls, and grows by one with each claim and by nothing else', () => {
    always(({ before, after, event: it }) => {
      expect(after.attempt).toBe(before.attempt + (it.do === 'claim' ? 1 : 0))
    })
  })

  it('never exceeds its limits of failed and lost attempts', () => {
    always(({ after }) => {
      expect(countedAttempts(after)).toBeLessThanOrEqual(after.maxAttempts)
      expect(countedAttempts(after)).toBeGreaterThanOrEqual(0)
      expect(after.lost).toBeLessThanOrEqual(after.maxLost + 1)
      if (!isFinal(after.status)) expect(after.lost).toBeLessThanOrEqual(after.maxLost)
    })
  })

  it('has a lease and a holder while it runs, and at no other time', () => {
    always(({ after }) => {
      const runs = after.status === 'running'
      expect(after.leaseUntil !== null).toBe(runs)
      expect(after.holder !== null).toBe(runs)
      if (runs) expect(after.runAt).toBeNull()
    })
  })

  it('names an engine only beside the execution that was started on it, as does every attempt', () => {
    always(({ after }) => {
      for (const { execution: name, engine } of [after, ...after.history]) if (name === null) expect(engine).toBeNull()
    })
  })

  it('has an end, and a time to be deleted, exactly when it has ended', () => {
    always(({ after }) => {
      expect(after.finishedAt !== null).toBe(isFinal(after.status))
      expect(after.expiresAt).toBe(after.finishedAt === null ? null : after.finishedAt + after.retention)
      expect(after.error !== null).toBe(after.status === 'failed' || after.status === 'canceled')
    })
  })

  it('accepts one event of each name, and sleeps only until something happens that it waits for', () => {
    always(({ before, after, event: it }) => {
      const received = after.waits?.received ?? []
      expect(new Set(received).size).toBe(received.length)
      if (it.do === 'change' && it.change.kind === 'event')
        expect(before.waits?.received ?? []).not.toContain(it.change.name)
      const asked =
        after.waits?.open.filter(({ kind }) => kind === 'event' || kind === 'input').map(({ name }) => name) ?? []
      if (isSuspended(after)) expect(asked.filter(name => received.includes(name))).toEqual([])
    })
  })

  it('does not wait for children once few enough are unfinished, and its family is due when it has ended', () => {
    always(({ before, after, event: it }) => {
      if (it.do === 'change' && it.change.kind === 'children-ended' && isSuspended(after)) {
        const { unfinished } = it.change
        expect(after.waits?.open.filter(wait => isOver(wait, unfinished))).toEqual([])
      }
      const hasEnded = isFinal(after.status) && !isFinal(before.status)
      if (hasEnded) expect(after.familyDue).toBe(after.parent !== null || hasChildren(after))
      if (!isFinal(after.status)) expect(after.familyDue).toBe(false)
    })
  })

  it('is due when the first of its waits is over', () => {
    always(({ after }) => {
      if (!isSuspended(after)) return
      const ends = after.waits?.open.map(({ until }) => until ?? NEVER_DUE) ?? []
      expect(after.runAt).toBe(Math.min(...ends, NEVER_DUE))
    })
  })

  it('begins no attempt once its deadline has passed, and does not wait when an attempt ends', () => {
    always(({ before, after, event: it, now }) => {
      if (now < (before.deadline ?? Number.POSITIVE_INFINITY)) return
      expect(['claim', 'launch']).not.toContain(it.do)
      if (before.status === 'running') expect(after.status).not.toBe('pending')
    })
  })

  it('is never changed by an attempt that has lost it', () => {
    always(({ before, event: it }) => {
      if (it.do !== 'change' || !('attempt' in it.change) || it.change.attempt < 0) return
      expect(it.change.attempt).toBe(before.attempt)
    })
  })

  it('stays canceled or asked to cancel after the request, unless it ended otherwise before', () => {
    always(({ before, after }) => {
      if (!before.cancelRequested) return
      expect(after.cancelRequested).toBe(true)
      expect(after.status).not.toBe('pending')
    })
  })

  it('keeps a history that grows by one with each attempt that ends, in order and within its limit', () => {
    always(({ before, after }) => {
      expect(after.history.length).toBeLessThanOrEqual(HISTORY_LIMIT)
      const ended = before.status === 'running' && after.status !== 'running' ? 1 : 0
      expect(after.history.length).toBe(Math.min(before.history.length + ended, HISTORY_LIMIT))
      if (ended === 1) expect(after.history.at(-1)?.number).toBe(before.attempt)
      const numbers = after.history.map(({ number: it }) => it)
      expect(numbers).toEqual(numbers.toSorted((a, b) => a - b))
    })
  })

  it('has an updatedAt that never goes back, though the clock may', () => {
    always(({ before, after }) => expect(after.updatedAt).toBeGreaterThanOrEqual(before.updatedAt))
  })

  it('keeps the data of its submission', () => {
    always(({ before, after }) => {
      for (const key of [
        'id',
        'type',
        'owner',
        'priority',
        'createdAt',
        'startBy',
        'deadline',
        'maxAttempts',
        'maxLost',
        'retention',
      ] as const) {
        expect(after[key]).toBe(before[key])
      }
    })
  })

  it('ends if it is claimed and its leases expire', () => {
    fc.assert(
      fc.property(start, fc.array(event, { maxLength: 30 }), (operation, events) => {
        let last = live(operation, events).reduce((at, step) => step.after ?? at, operation)
        let now = 1_000_000
        for (let round = 0; !isFinal(last.status) && round < 20; round++) {
          now += 100_000
          last = expired(last, now) ?? claimed(last, { holder: 'h', leaseMs: 1, execution: null }, now) ?? last
        }
        expect(isFinal(last.status)).toBe(true)
      }),
    )
  })
})
