/**
 * Submissions with limits. The service has no transaction over items of several operations, so the operations are
 * counted before the submissions are written. Submissions that arrive together need one count, and the next count waits
 * until they are written. So one process never exceeds a limit. Several processes together may exceed it by what the
 * others write in that time.
 */

import type { Operation } from '../../model/operation.ts'
import type { Submission, SubmissionLimits } from '../../model/submission.ts'
import { Batcher, type BatchResult } from '../../util/batcher.ts'
import { inParallel } from '../../util/in-parallel.ts'
import type { Acceptance } from '../store.ts'

/** What limits need of a store. */
export interface LimitsOptions {
  /** Counts to at most `limit`. */
  readonly countUnfinished: (type: string, owner: string, limit: number) => Promise<number>
  readonly countReady: (type: string, limit: number) => Promise<number>
  /** Finds an operation by its key or, without a key, by its id. */
  readonly find: (submission: Submission) => Promise<Operation | undefined>
  readonly accept: (submission: Submission) => Promise<Acceptance>
}

/** How many places are left, by scope and limit. */
type Places = Map<string, number>

export class Limits {
  readonly #options: LimitsOptions
  readonly #batcher: Batcher<Submission, Acceptance>

  constructor(options: LimitsOptions) {
    this.#options = options
    this.#batcher = new Batcher(submissions => this.#acceptAll(submissions))
  }

  accept(submission: Submission): Promise<Acceptance> {
    return this.#batcher.add(submission)
  }

  async #acceptAll(submissions: readonly Submission[]): Promise<BatchResult<Acceptance>[]> {
    const firsts = firstOfEach(submissions)
    const places = await this.#places([...firsts.values()])
    const answers = allFit(firsts, places) ? new Map<string, BatchResult<Acceptance>>() : await this.#knownAmong(firsts)
    const admitted = [...firsts].filter(([key, submission]) => {
      if (answers.has(key)) return false
      const limit = take(places, submission)
      if (limit !== undefined) answers.set(key, { value: { kind: 'refused', limit } })
      return limit === undefined
    })
    await inParallel(admitted, async ([key, submission]) => {
      answers.set(key, await settled(this.#options.accept(submission)))
    })
    return submissions.map(submission => {
      const key = keyOf(submission)
      return answerOf(submission, firsts.get(key), answers.get(key))
    })
  }

  /** Finds the submissions that are known already: they do not count, and are not refused. */
  async #knownAmong(firsts: ReadonlyMap<string, Submission>): Promise<Map<string, BatchResult<Acceptance>>> {
    const answers = new Map<string, BatchResult<Acceptance>>()
    await inParallel([...firsts], async ([key, submission]) => {
      const found = await settled(this.#options.find(submission))
      if ('error' in found) answers.set(key, found)
      else if (found.value !== undefined) answers.set(key, { value: repeated(submission, found.value) })
    })
    return answers
  }

  async #places(submissions: readonly Submission[]): Promise<Places> {
    const { countUnfinished, countReady } = this.#options
    const counts = new Map<string, () => Promise<number>>()
    for (const { type, owner, limits: { inFlight, backlog } = {} } of submissions) {
      if (inFlight !== undefined) {
        counts.set(
          flightOf(type, owner, inFlight),
          async () => inFlight - (await countUnfinished(type, owner, inFlight)),
        )
      }
      if (backlog !== undefined) {
        counts.set(backlogOf(type, backlog), async () => backlog - (await countReady(type, backlog)))
      }
    }
    return new Map(await inParallel([...counts], async ([scope, count]) => [scope, await count()] as const))
  }
}

/** Whether all submissions fit within the limits: then no key must be looked up first. */
function allFit(submissions: ReadonlyMap<string, Submission>, places: Places): boolean {
  const free = new Map(places)
  return [...submissions.values()].every(submission => take(free, submission) === undefined)
}

/** Counts one submission toward its limits, or returns the limit that it would exceed. */
function take(places: Places, { type, owner, delay, limits }: Submission): keyof SubmissionLimits | undefined {
  const flight = flightOf(type, owner, limits?.inFlight)
  const backlog = backlogOf(type, limits?.backlog)
  const [inFlight = Number.POSITIVE_INFINITY, ready = Number.POSITIVE_INFINITY] = [
    places.get(flight),
    places.get(backlog),
  ]
  if (inFlight <= 0) return 'inFlight'
  if (ready <= 0) return 'backlog'
  places.set(flight, inFlight - 1)
  if (delay === 0) places.set(backlog, ready - 1)
  return undefined
}

/** Of submissions with the same key, the first one counts, and the others get its answer. */
function firstOfEach(submissions: readonly Submission[]): Map<string, Submission> {
  const firsts = new Map<string, Submission>()
  for (const submission of submissions) {
    const key = keyOf(submission)
    if (!firsts.has(key)) firsts.set(key, submission)
  }
  return firsts
}

function answerOf(
  submission: Submission,
  first: Submission | undefined,
  answer: BatchResult<Acceptance> | undefined,
): BatchResult<Acceptance> {
  if (answer === undefined) return { error: new Error(`The submission ${submission.id} had no answer.`) }
  if (submission === first || 'error' in answer || answer.value.kind === 'refused') return answer
  return { value: repeated(submission, answer.value.operation) }
}

function repeated({ id }: Submission, operation: Operation): Acceptance {
  return { kind: operation.id === id ? 'accepted' : 'known', operation }
}

async function settled<T>(work: Promise<T>): Promise<BatchResult<T>> {
  try {
    return { value: await work }
  } catch (error) {
    return { error }
  }
}

function keyOf({ id, type, owner, idempotencyKey }: Submission): string {
  return idempotencyKey === null ? id : JSON.stringify([type, owner, idempotencyKey])
}

function flightOf(type: string, owner: string, limit: number | undefined): string {
  return JSON.stringify([type, owner, limit])
}

function backlogOf(type: string, limit: number | undefined): string {
  return JSON.stringify([type, limit])
}
