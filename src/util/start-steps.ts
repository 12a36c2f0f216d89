/** The start of a composition: one step after the other, within a limit of time. */

/** One step. */
export interface StartStep {
  /** What is waited for, as an error names it: "the store to open". */
  readonly awaits: string
  readonly run: () => unknown
}

/** What a start is given. */
export interface StartOptions {
  /** Milliseconds; what takes longer is given up. Default: no limit. */
  readonly timeoutMs?: number | undefined
  /** What to do about a limit that was too short; the end of the error. */
  readonly cure?: string | undefined
}

/** A start that took too long. What it had begun may go on. */
export class StartTimeoutError extends Error {
  override readonly name = 'StartTimeoutError'
}

/**
 * Runs the steps in their order.
 *
 * @param isOver asked before each step: whether to begin none any more
 * @throws {StartTimeoutError} when the time is up, with the step under way
 */
export async function runSteps(
  steps: readonly StartStep[],
  isOver: () => boolean,
  { timeoutMs, cure = '' }: StartOptions,
): Promise<void> {
  let awaited = ''
  let isLate = false
  const run = async () => {
    for (const step of steps) {
      if (isLate) return
      if (isOver()) throw new Error(`Waybill was stopped while it started: it waited for ${awaited}.`)
      awaited = step.awaits
      await step.run()
    }
  }
  if (timeoutMs === undefined) return await run()
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      isLate = true
      reject(new StartTimeoutError(`Waybill waited ${timeoutMs / 1000} s for ${awaited}, in vain. ${cure}`.trim()))
    }, timeoutMs)
  })
  await Promise.race([run(), late]).finally(() => clearTimeout(timer))
}
