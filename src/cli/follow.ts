/** Follows one operation to its end: through a desk, or at its status URL. */

import { setTimeout as sleep } from 'node:timers/promises'
import { attach, OperationError, type StatusPoll } from '../client/client.ts'
import { isFinal } from '../model/protocol.ts'
import type { OperationDetail } from '../operator/views.ts'
import type { LogLine } from '../stores/store.ts'
import { plain } from '../util/plain-text.ts'
import type { Desk } from './desk.ts'
import { END_CODES } from './exit-codes.ts'
import { describeWait, print, printJson, time } from './output.ts'
import { ProgressLine } from './progress.ts'

const POLL_MS = 500

/**
 * Shows the progress and the log of an operation until it has ended.
 *
 * @param json prints each change as one line of JSON instead
 * @returns the operation when it has ended; undefined where there is none
 */
export async function follow(desk: Desk, id: string, json: boolean): Promise<OperationDetail | undefined> {
  const line = new ProgressLine()
  let version: number | undefined
  let seen = 0
  const look = async () => {
    const detail = await desk.get(id)
    if (detail === undefined) return undefined
    const lines = await desk.log(id, seen)
    seen = lines.at(-1)?.sequence ?? seen
    if (json && detail.version !== version) printJson(detail)
    if (!json && lines.length > 0) line.above(() => printLog(lines))
    if (!json && !isFinal(detail.status)) line.update({ status: describeStatus(detail), ...detail.progress })
    version = detail.version
    return detail
  }
  try {
    let detail = await look()
    while (detail !== undefined && !isFinal(detail.status)) {
      await sleep(POLL_MS)
      detail = await look()
    }
    return detail
  } finally {
    line.end()
  }
}

function describeStatus({ status, attempt, maxAttempts, cancelRequested, runAt, waits }: OperationDetail): string {
  if (cancelRequested) return `${status}, asked to cancel`
  const [wait] = waits
  if (wait !== undefined) return `${status}, ${describeWait(wait)}`
  if (status === 'pending') return runAt === null ? status : `${status} until ${time(runAt)}`
  return attempt > 1 ? `${status}, attempt ${attempt} of ${maxAttempts}` : status
}

function printLog(lines: readonly LogLine[]): void {
  for (const { at, level, message } of lines) print(`${time(at)}  ${level}  ${plain(message)}`)
}

/** Says how an operation has ended. Returns the exit code. */
export function reportEnd({ id, status, error }: Pick<OperationDetail, 'id' | 'status' | 'error'>): number {
  const reason = error === null ? '' : `: ${plain(error.detail ?? error.title)}`
  process.stderr.write(`${id} ${status}${reason}\n`)
  return endCode(status)
}

/** The exit code for a final status. */
function endCode(status: string): number {
  return END_CODES[status] ?? 1
}

/** Follows a status URL of any asynchronous API to its result, which is printed. Returns the exit code. */
export async function followUrl(url: string, headers: Record<string, string>): Promise<number> {
  const line = new ProgressLine()
  return await showResult(
    attach(url, { headers }, poll => line.update(shownOf(poll))),
    line,
  )
}

/** The content of a status document of any API. */
export function shownOf({ status = 'accepted', document }: StatusPoll) {
  const { progress, percentComplete } = document
  const percent = typeof percentComplete === 'number' ? percentComplete / 100 : undefined
  return { status, fraction: progress?.fraction ?? percent, message: progress?.message }
}

/** Waits for the result and prints it. Returns the exit code. */
export async function showResult(wait: Promise<unknown>, line: ProgressLine): Promise<number> {
  try {
    const result = await wait
    line.end()
    return result instanceof Response ? print(await result.text()) : printJson(result ?? null)
  } catch (error) {
    line.end()
    if (!(error instanceof OperationError)) throw error
    const { title, detail } = error.problem
    process.stderr.write(`${[error.code, title, detail].filter(Boolean).map(String).map(plain).join(': ')}\n`)
    return endCode(error.code)
  }
}
