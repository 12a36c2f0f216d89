/** The one place that logs how attempts end. */
import type { Attempt, Operation, Outcome } from '../model/operation.ts'
import { isFinal } from '../model/protocol.ts'
import type { Logger } from '../util/logger.ts'
import type { Recorded, RunningAttempt } from './running-attempt.ts'

/**
 * Logs the end of an attempt: `error` for an operation that has failed, `warn` for an attempt that is to be repeated,
 * `info` for everything else, such as a failure that says what is wrong with the request.
 * @returns the attempt as recorded; undefined if it is not in the record
 */
export function logEnd(
  logger: Logger,
  { lease, type }: RunningAttempt,
  outcome: Outcome,
  recorded: Exclude<Recorded, { kind: 'unrecorded' }>,
): Attempt | undefined {
  const fields = { operation: lease.id, type: type.name, attempt: lease.attempt }
  if (recorded.kind === 'late') {
    logger.warn({ ...fields, outcome: outcome.kind }, 'An outcome came too late: the attempt had lost its lease')
    return undefined
  }
  const { operation } = recorded
  const attempt = operation.history.find(({ number }) => number === lease.attempt)
  const line = {
    ...fields,
    of: operation.maxAttempts,
    outcome: attempt?.outcome ?? outcome.kind,
    ...(attempt && { durationMs: attempt.finishedAt - attempt.startedAt }),
    ...reasonOf(outcome, attempt),
  }
  write(logger, operation, outcome, line)
  return attempt
}

function reasonOf(outcome: Outcome, attempt: Attempt | undefined): object {
  const problem = 'problem' in outcome ? outcome.problem : attempt?.error
  const error = 'error' in outcome ? outcome.error : undefined
  return { ...(problem && { problem }), ...(error && { err: error }) }
}

function write(logger: Logger, operation: Operation, outcome: Outcome, line: { readonly outcome: string }): void {
  const hasFailed = line.outcome === 'failed' || line.outcome === 'lost'
  if (!hasFailed) {
    logger.info(line, MESSAGES[line.outcome] ?? 'An attempt ended')
  } else if (isFinal(operation.status)) {
    const isRefusal = 'problem' in outcome && outcome.problem.status < 500
    logger[isRefusal ? 'info' : 'error'](line, 'An operation failed')
  } else {
    const retryInMs = outcome.kind === 'retry' ? outcome.delayMs : 0
    logger.warn({ ...line, retryInMs }, 'An attempt failed and will be retried')
  }
}

const MESSAGES: Readonly<Record<string, string>> = {
  completed: 'An operation completed',
  canceled: 'An operation was canceled',
  released: 'An attempt was handed back',
  suspended: 'An attempt was suspended: its handler waits',
}
