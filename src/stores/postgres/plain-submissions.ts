/**
 * Submissions that only a known id can refuse, which are most submissions. Values that all of a batch share are sent to
 * the server once. Otherwise the server would spend most of its time on parsing the same names and values again.
 */
import type { Submission } from '../../model/submission.ts'
import { COMMON, submittedRow } from './rows.ts'
import { textArray } from './text.ts'

/** Whether nothing but its id decides whether a submission is accepted, and one statement writes all of it. */
export function isPlain(submission: Submission): boolean {
  const { idempotencyKey, steps = [] } = submission
  return idempotencyKey === null && steps.length === 0 && !isLimited(submission)
}

/** Whether the submission has a limit, so that operations must be counted. */
export function isLimited({ limits }: Submission): boolean {
  return limits?.inFlight !== undefined || limits?.backlog !== undefined
}

/** The parameters of a statement for a submission. */
export function acceptRow(submission: Submission): Record<string, unknown> {
  const { input, delay, startWithin, endWithin } = submission
  return { ...submittedRow(submission), input, delay, start_within: startWithin, end_within: endWithin ?? undefined }
}

/**
 * The parameters of a batch: a list for each column in which the submissions may differ, in the order of their ids, and
 * then the values that all of them share. Undefined if they do not share all of the other columns.
 */
export function plainParameters(submissions: readonly Submission[]): unknown[] | undefined {
  const [first, ...others] = submissions
  if (first === undefined) return undefined
  const common = commonOf(first)
  if (others.some(other => !isSame(commonOf(other), common))) return undefined
  const inOrder = submissions.toSorted((one, other) => (one.id < other.id ? -1 : 1))
  const lists = [
    inOrder.map(({ id }) => id),
    inOrder.map(({ owner }) => owner),
    inOrder.map(({ traceparent }) => traceparent),
    inOrder.map(({ input }) => input),
  ].map(textArray)
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
