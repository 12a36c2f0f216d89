/**
 * Submissions that nothing but their ids can refuse, as most are. What several of them have in common is sent, and read
 * by the server, once: most of what it does for a batch would else be to read the same names and values again.
 */
import type { Submission } from '../../model/submission.ts'
import { COMMON, submittedRow } from './rows.ts'

/** Whether nothing but its id decides whether a submission is accepted, and one statement writes all of it. */
export function isPlain(submission: Submission): boolean {
  const { idempotencyKey, steps = [] } = submission
  return idempotencyKey === null && steps.length === 0 && !isLimited(submission)
}

/** Whether anything is to be counted for it. */
export function isLimited({ limits }: Submission): boolean {
  return limits?.inFlight !== undefined || limits?.backlog !== undefined
}

/** What a statement is given for a submission. */
export function acceptRow(submission: Submission): Record<string, unknown> {
  const { input, delay, startWithin, endWithin } = submission
  return { ...submittedRow(submission), input, delay, start_within: startWithin, end_within: endWithin ?? undefined }
}

/**
 * The parameters of a batch: what each submission has of its own, in a list for each column, and then what all of them
 * have in common. Undefined where they have less in common than that.
 */
export function plainParameters(submissions: readonly Submission[]): unknown[] | undefined {
  const [first, ...others] = submissions
  if (first === undefined) return undefined
  const common = commonOf(first)
  if (others.some(other => !isSame(commonOf(other), common))) return undefined
  const lists = [
    submissions.map(({ id }) => id),
    submissions.map(({ owner }) => owner),
    submissions.map(({ traceparent }) => traceparent),
    submissions.map(({ input }) => input),
  ]
  return [...lists, ...common]
}

const COMMON_NAMES = Object.keys(COMMON)

function commonOf(submission: Submission): unknown[] {
  const { delay, startWithin, endWithin = null } = submission
  const row = submittedRow(submission)
  return [...COMMON_NAMES.map(name => row[name] ?? null), delay, startWithin, endWithin]
}

function isSame(one: readonly unknown[], other: readonly unknown[]): boolean {
  return one.every((value, index) => value === other[index])
}
