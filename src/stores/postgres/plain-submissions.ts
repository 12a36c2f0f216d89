/**
 * Submissions that nothing but their ids can refuse, as most are. What several of them have in common is sent, and read
 * by the server, once: most of what it does for a batch would else be to read the same names and values again.
 */
import type { Submission } from '../../model/submission.ts'
import { submittedRow } from './rows.ts'

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
 * The parameters of a batch, as JSON: what all of its submissions have in common, and a list of what each has of its
 * own. Undefined where they have less in common than that.
 */
export function plainParameters(submissions: readonly Submission[]): [string, string] | undefined {
  const [first, ...others] = submissions.map(commonOf)
  if (first === undefined || others.some(other => other !== first)) return undefined
  return [first, JSON.stringify(submissions.map(ownOf))]
}

/** Null is left out: the server reads it faster so, and to the same effect. */
function commonOf(submission: Submission): string {
  const { id: _, owner: __, traceparent: ___, input: ____, ...common } = acceptRow(submission)
  return JSON.stringify(common, (_, value) => value ?? undefined)
}

function ownOf({ id, owner, traceparent, input }: Submission) {
  return { id, owner, traceparent: traceparent ?? undefined, input }
}
