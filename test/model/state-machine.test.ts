import { isDeepStrictEqual } from 'node:util'
import { describe, expect, it } from 'vitest'
import { type Change, type ClaimBy, countedAttempts, type Operation, type Outcome } from '../../src/model/operation.ts'
import { problem } from '../../src/model/problem.ts'
import { accepted, changed, claimed, expired, launching, renewed } from '../../src/model/state-machine.ts'
import type { Submission } from '../../src/model/submission.ts'
import { type KeptAttempt, operationOf } from '../../src/stores/stored-operation.ts'
import { submissionOf } from '../support/submission.ts'

const NOW = 1_000_000
const BY = { holder: 'host/1/a', leaseMs: 30_000, execution: null }
const NO = problem('operation-failed', 'No.')

function pending(parts: Partial<Submission> = {}): Operation {
  return accepted(submissionOf('a', parts), NOW)
}

function running(parts: Partial<Submission> = {}): Operation {
  return must(claimed(pending(parts), BY, NOW))
}

function finish(operation: Operation, outcome: Outcome, at: number = NOW): Operation {
  return must(changed(operation, { kind: 'finish', attempt: operation.attempt, outcome }, at))
}

function must(operation: Operation | undefined): Operation {
  if (operation === undefined) throw new Error('The change was refused.')
  return operation
}

/** What a change has made different. */
function difference(before: Operation, after: Operation | undefined): Partial<Operation> {
  const same = (key: string, value: unknown) => isDeepStrictEqual(before[key as keyof Operation], value)
  const entries = Object.entries(must(after)).filter(([key, value]) => !same(key, value))
  return Object.fromEntries(entries) as Partial<Operation>
}

const RETRY: Outcome = { kind: 'retry', problem: NO, delayMs: 5000 }
const RELEASED: Outcome = { kind: 'released' }
const COMPLETED: Outcome = { kind: 'completed', output: '1' }

describe('accepted', () => {
  it('is pending in version 1, due at once, without attempts', () => {
    expect(pending()).toMatchObject({
      status: 'pending',
      version: 1,
      createdAt: NOW,
      updatedAt: NOW,
      runAt: null,
      startBy: null,
      deadline: null,
      attempt: 0,
      history: [],
      purged: false,
    })
  })

  it('keeps everything of the submission except for the input', () => {
    const { input: _, delay: __, startWithin: ___, ...kept } = submissionOf('a')
    expect(pending()).toMatchObject(kept)
    expect(pending()).not.toHaveProperty('input')
  })

  it('converts durations into times', () => {
    expect(pending({ delay: 50, startWithin: 0 })).toMatchObject({ runAt: NOW + 50, startBy: NOW + 50 })
  })
})

/** One whose first execution was started. */
const launched = must(
  changed(
    must(launching(pending(), 1000, NOW)),
    { kind: 'launched', launch: 1, execution: 'job-1', engine: 'jobs' },
    NOW,
  ),
)

describe('claimed', () => {
  it('runs the next attempt under a lease', () => {
    expect(difference(pending({ delay: 50 }), claimed(pending({ delay: 50 }), BY, NOW + 9))).toEqual({
      status: 'running',
      version: 2,
      updatedAt: NOW + 9,
      attempt: 1,
      runAt: null,
      startedAt: NOW + 9,
      attemptStartedAt: NOW + 9,
      holder: BY.holder,
      leaseUntil: NOW + 9 + 30_000,
    })
  })

  it('keeps when the first attempt began, and forgets the progress of the last one', () => {
    const progressed = must(changed(running(), { kind: 'progress', attempt: 1, progress: { fraction: 0.5 } }, NOW))
    const second = must(claimed(finish(progressed, RELEASED), BY, NOW + 10))
    expect(second).toMatchObject({ attempt: 2, startedAt: NOW, attemptStartedAt: NOW + 10, progress: null })
  })

  it('resets the count of launches, and records the execution that claims', () => {
    expect(claimed(launched, { ...BY, execution: 'job-2' }, NOW)).toMatchObject({ launches: 0, execution: 'job-2' })
    const { execution: _, ...nameless } = BY
    expect(claimed(launched, nameless, NOW)).toMatchObject({ launches: 0, execution: 'job-1' })
    expect(claimed(launched, BY, NOW)).toMatchObject({ launches: 0, execution: null })
  })

  it('records the engine of the execution that claims, as its launcher has reported it', () => {
    const engineOf = (by: Partial<ClaimBy>, of = launched) => claimed(of, { ...nameless, ...by }, NOW)?.engine
    const { execution: _, ...nameless } = BY
    expect(engineOf({})).toBe('jobs')
    expect(engineOf({ execution: 'job-1' })).toBe('jobs')
    expect(engineOf({ execution: 'job-1', engine: 'others' })).toBe('jobs')
    expect(engineOf({ execution: 'job-2', engine: 'others' })).toBe('others')
    expect(engineOf({ execution: 'job-2' })).toBeNull()
    expect(engineOf({ execution: null, engine: 'others' })).toBeNull()
    // Before the launcher's answer was recorded.
    expect(engineOf({ execution: 'job-1', engine: 'jobs' }, must(launching(pending(), 1000, NOW)))).toBe('jobs')
    expect(engineOf({ engine: 'jobs' }, must(launching(pending(), 1000, NOW)))).toBeNull()
  })

  it('moves the engine to the attempt that ends', () => {
    const back = finish(must(claimed(launched, { ...BY, execution: 'job-1' }, NOW)), RELEASED)
    expect(back).toMatchObject({ execution: null, engine: null, history: [{ execution: 'job-1', engine: 'jobs' }] })
    for (const operation of [
      must(launching(launched, 1000, NOW)),
      must(changed(launched, { kind: 'abandon', attempt: 0, reason: 'Gone.' }, NOW)),
    ]) {
      expect(operation).toMatchObject({ execution: null, engine: null })
    }
  })

  it('is refused once the start deadline has passed', () => {
    const late = { ...pending(), startBy: NOW }
    expect(claimed(late, BY, NOW)).toBeUndefined()
    expect(claimed({ ...late, attempt: 1 }, BY, NOW)).toBeDefined()
  })

  it('is refused unless it is pending', () => {
    for (const operation of [running(), finish(running(), COMPLETED)]) {
      expect(claimed(operation, BY, NOW)).toBeUndefined()
    }
  })
})

describe('a record of an older version', () => {
  it('has no engine, neither of the operation nor of its attempts', () => {
    const attempt = { number: 1, holder: 'h', execution: 'job-1', startedAt: 1, finishedAt: 2, error: null }
    const history: KeptAttempt[] = [
      { ...attempt, outcome: 'lost' },
      { ...attempt, outcome: 'lost', engine: 'jobs' },
    ]
    const { engine: _, ...old } = { ...running(), execution: 'job-2' }
    const { engine, history: read } = operationOf({ ...old, history })
    expect([engine, ...read.map(it => it.engine)]).toEqual([null, null, 'jobs'])
    expect(operationOf({ ...old, history, engine: 'jobs' }).engine).toBe('jobs')
  })

  it('may have the engine of an execution that is no longer recorded', () => {
    expect(operationOf({ ...running(), execution: null, engine: 'jobs' }).engine).toBeNull()
  })
})

describe('renewed', () => {
  it('moves the end of the lease and nothing else', () => {
    expect(difference(running(), renewed(running(), 1, 7000, NOW + 5))).toEqual({ leaseUntil: NOW + 7005 })
  })

  it('is refused to an attempt that does not own it', () => {
    expect(renewed(running(), 2, 7000, NOW)).toBeUndefined()
    expect(renewed(running(), 0, 7000, NOW)).toBeUndefined()
    expect(renewed(pending(), 0, 7000, NOW)).toBeUndefined()
    expect(renewed(finish(running(), COMPLETED), 1, 7000, NOW)).toBeUndefined()
  })
})

describe('a finish', () => {
  it('completes it, and starts its retention', () => {
    const before = running({ retention: 100 })
    expect(difference(before, finish(before, COMPLETED, NOW + 5))).toEqual({
      status: 'completed',
      version: 3,
      updatedAt: NOW + 5,
      finishedAt: NOW + 5,
      expiresAt: NOW + 105,
      holder: null,
      leaseUntil: null,
      history: [
        {
          number: 1,
          holder: BY.holder,
          execution: null,
          engine: null,
          startedAt: NOW,
          finishedAt: NOW + 5,
          outcome: 'completed',
          error: null,
        },
      ],
    })
  })

  it('completes the progress if there was one', () => {
    const progressed = must(
      changed(running(), { kind: 'progress', attempt: 1, progress: { fraction: 0.5, message: 'Half' } }, NOW),
    )
    expect(finish(progressed, COMPLETED).progress).toEqual({ fraction: 1, message: 'Half' })
    expect(finish(running(), COMPLETED).progress).toBeNull()
    expect(finish(progressed, { kind: 'failed', problem: NO }).progress).toEqual({ fraction: 0.5, message: 'Half' })
  })

  it('fails it without a retry, whatever attempts are left', () => {
    const failed = finish(running({ maxAttempts: 9 }), { kind: 'failed', problem: NO })
    expect(failed).toMatchObject({ status: 'failed', error: NO, history: [{ outcome: 'failed', error: NO }] })
  })

  it('retries it after the delay while attempts are left, and then fails it with the problem', () => {
    const first = finish(running({ maxAttempts: 2 }), RETRY)
    expect(first).toMatchObject({ status: 'pending', runAt: NOW + 5000, error: null, holder: null, leaseUntil: null })
    const second = finish(must(claimed(first, BY, NOW)), RETRY)
    expect(second).toMatchObject({ status: 'failed', error: NO })
    expect(second.history.map(({ outcome }) => outcome)).toEqual(['failed', 'failed'])
  })

  it('hands it back without counting the attempt', () => {
    const back = finish(running({ maxAttempts: 2 }), RELEASED)
    expect(back).toMatchObject({ status: 'pending', runAt: null, released: 1 })
    expect(countedAttempts(back)).toBe(0)
    const failedOnce = finish(must(claimed(back, BY, NOW)), RETRY)
    expect(failedOnce.status).toBe('pending')
    expect(finish(must(claimed(failedOnce, BY, NOW)), RETRY).status).toBe('failed')
  })

  it('is a cancel instead of a retry or a hand-back after a request to cancel, and other ends stay', () => {
    const asked = must(changed(running(), { kind: 'cancel' }, NOW))
    for (const outcome of [RETRY, RELEASED]) {
      expect(finish(asked, outcome)).toMatchObject({ status: 'canceled', error: { code: 'operation-canceled' } })
    }
    // An execution that is stopped for a cancel hands back: its attempt took place, and was canceled.
    const stopped = finish(asked, RELEASED)
    expect([stopped.history.at(-1)?.outcome, countedAttempts(stopped)]).toEqual(['canceled', 1])
    expect(finish(asked, COMPLETED).status).toBe('completed')
    expect(finish(asked, { kind: 'failed', problem: NO }).status).toBe('failed')
  })

  it('is a cancel instead of a failure if the last attempt asks for a retry after a request to cancel', () => {
    const asked = must(changed(running({ maxAttempts: 1 }), { kind: 'cancel' }, NOW))
    expect(finish(asked, RETRY).status).toBe('canceled')
  })

  it('makes a webhook due if the operation has one', () => {
    const webhookUrl = 'https://hooks.example/'
    expect(finish(running({ webhookUrl }), COMPLETED).webhookDue).toBe(true)
    expect(finish(running({ webhookUrl }), RETRY).webhookDue).toBe(false)
    expect(finish(running(), COMPLETED).webhookDue).toBe(false)
  })
})

describe('a cancel', () => {
  it('ends a pending, delayed or launched operation', () => {
    for (const operation of [pending(), pending({ delay: 50 }), must(launching(pending(), 1000, NOW))]) {
      const after = changed(operation, { kind: 'cancel' }, NOW + 1)
      expect(after).toMatchObject({ status: 'canceled', cancelRequested: true, runAt: null, finishedAt: NOW + 1 })
    }
  })

  it('asks a running operation to stop, once', () => {
    const asked = must(changed(running(), { kind: 'cancel' }, NOW + 1))
    expect(difference(running(), asked)).toEqual({ cancelRequested: true, version: 3, updatedAt: NOW + 1 })
    expect(changed(asked, { kind: 'cancel' }, NOW)).toBeUndefined()
  })
})

describe('a launch', () => {
  const launched = must(launching(pending(), 1000, NOW))

  it('holds the operation back, and shows no client a new version', () => {
    expect(difference(pending(), launched)).toEqual({ runAt: NOW + 1000, launches: 1 })
    expect(launching(running(), 1000, NOW)).toBeUndefined()
  })

  it('is answered with its execution, or with a refusal that undoes it', () => {
    expect(changed(launched, { kind: 'launched', launch: 1, execution: 'job', engine: 'jobs' }, NOW)).toMatchObject({
      execution: 'job',
      engine: 'jobs',
    })
    expect(changed(launched, { kind: 'launch-refused', launch: 1, delayMs: 20 }, NOW)).toMatchObject({
      launches: 0,
      runAt: NOW + 20,
    })
  })

  it('ignores the answer of another launch, or after the claim', () => {
    const second = must(launching(launched, 1000, NOW))
    for (const operation of [second, must(claimed(launched, BY, NOW)), pending()]) {
      expect(changed(operation, { kind: 'launched', launch: 1, execution: 'job', engine: 'jobs' }, NOW)).toBeUndefined()
      expect(changed(operation, { kind: 'launch-refused', launch: 1, delayMs: 1 }, NOW)).toBeUndefined()
    }
  })

  it('without a claim is repeated, with growing delays, up to the limit', () => {
    const delays: (number | null)[] = []
    let operation = pending({ maxLost: 6 })
    while (operation.status === 'pending') {
      operation = must(launching(operation, 1000, NOW))
      operation = must(changed(operation, { kind: 'abandon', attempt: 0, reason: 'It is gone.' }, NOW))
      if (operation.status === 'pending') delays.push((operation.runAt ?? 0) - NOW)
    }
    expect(delays).toEqual([0, 500, 1000, 2000, 4000, 5000])
    expect(operation).toMatchObject({ status: 'failed', error: { code: 'launch-lost' } })
  })

  it('that does not exist cannot be abandoned', () => {
    expect(changed(pending(), { kind: 'abandon', attempt: 0, reason: 'It is gone.' }, NOW)).toBeUndefined()
  })
})

describe('a lost lease', () => {
  const until = NOW + BY.leaseMs

  it('leads back to pending, at the moment it runs out and not before', () => {
    expect(expired(running(), until - 1)).toBeUndefined()
    expect(expired(running(), until)).toMatchObject({
      status: 'pending',
      lost: 1,
      runAt: null,
      history: [{ number: 1, outcome: 'lost', error: { code: 'worker-lost' } }],
    })
  })

  it('delays an operation that ends its workers, and fails it after the limit', () => {
    const delays: (number | null)[] = []
    let operation = running({ maxLost: 5, maxAttempts: 1 })
    for (;;) {
      const now = operation.leaseUntil ?? 0
      operation = must(expired(operation, now))
      if (operation.status !== 'pending') break
      delays.push(operation.runAt === null ? 0 : operation.runAt - now)
      operation = must(claimed(operation, BY, now))
    }
    expect(delays).toEqual([0, 500, 1000, 2000, 4000])
    expect(operation).toMatchObject({ status: 'failed', lost: 6, attempt: 6, error: { code: 'worker-lost' } })
  })

  it('ends at once if the process is known to be gone', () => {
    const abandon: Change = { kind: 'abandon', attempt: 1, reason: 'Its process is gone.' }
    const after = must(changed(running(), abandon, NOW))
    expect(after).toMatchObject({ status: 'pending', lost: 1 })
    expect(after.history[0]?.error?.detail).toContain('Its process is gone.')
    expect(changed(running(), { ...abandon, attempt: 2 }, NOW)).toBeUndefined()
    expect(changed(after, abandon, NOW)).toBeUndefined()
  })

  it('cancels an operation that was asked to cancel, also after the limit', () => {
    const asked = must(changed(running({ maxLost: 0 }), { kind: 'cancel' }, NOW))
    expect(expired(asked, until)?.status).toBe('canceled')
  })

  it('does not count as a failed attempt', () => {
    const after = must(expired(running({ maxAttempts: 2 }), until))
    expect(countedAttempts(after)).toBe(0)
    const failedOnce = finish(must(claimed(after, BY, until)), RETRY)
    expect(failedOnce.status).toBe('pending')
    expect(finish(must(claimed(failedOnce, BY, until)), RETRY).status).toBe('failed')
  })
})

describe('a start deadline', () => {
  it('fails an operation that has not begun by then, and not earlier', () => {
    const operation = pending({ startWithin: 100 })
    expect(expired(operation, NOW + 99)).toBeUndefined()
    expect(expired(operation, NOW + 100)).toMatchObject({ status: 'failed', error: { code: 'start-deadline' } })
  })

  it('is met once an attempt has begun, whatever its result', () => {
    const before = running({ startWithin: 100 })
    expect(expired(before, NOW + 100)).toBeUndefined()
    expect(expired(finish(before, RELEASED), NOW + 100)).toBeUndefined()
  })

  it('has no effect if there is none', () => {
    expect(expired(pending(), Number.MAX_SAFE_INTEGER)).toBeUndefined()
  })
})

describe('a deadline', () => {
  it('fails an operation that has not ended by then, and not earlier, also during a delay', () => {
    const operation = pending({ endWithin: 100, delay: 50 })
    expect(operation.deadline).toBe(NOW + 150)
    expect(expired(operation, NOW + 149)).toBeUndefined()
    const error = { code: 'deadline-exceeded', status: 504 }
    expect(expired(operation, NOW + 150)).toMatchObject({ status: 'failed', error, finishedAt: NOW + 150 })
  })

  it('leaves a running operation to its worker, and determines its outcome', () => {
    const before = running({ endWithin: 100 })
    expect(expired(before, NOW + 100)).toBeUndefined()
    const over = { status: 'failed', error: { code: 'deadline-exceeded' } }
    expect(finish(before, RELEASED, NOW + 100)).toMatchObject(over)
    expect(finish(before, COMPLETED, NOW + 100).status).toBe('completed')
    expect(finish(before, RELEASED, NOW + 99).status).toBe('pending')
  })

  it('ends an operation with the problem of its attempt if no other attempt can begin in time', () => {
    const before = running({ endWithin: 100 })
    const retry = { ...RETRY, delayMs: 60 } as const
    expect(finish(before, retry, NOW + 39).status).toBe('pending')
    expect(finish(before, retry, NOW + 40)).toMatchObject({ status: 'failed', error: RETRY.problem })
  })

  it('loses to a cancel', () => {
    const asked = must(changed(running({ endWithin: 100 }), { kind: 'cancel' }, NOW))
    expect(finish(asked, RELEASED, NOW + 100).status).toBe('canceled')
  })
})

describe('the clock', () => {
  it('never moves the times of a record back when it is set back', () => {
    const later = must(claimed(pending(), BY, NOW + 100))
    expect(finish(later, COMPLETED, NOW + 50).updatedAt).toBe(NOW + 100)
  })
})
