/** Runs the steps of a start one after the other, within a time limit. */

/** One step. */
export interface StartStep {
  /** What the step waits for, as an error names it: "the store to open". */
  readonly awaits: string
  readonly run: () => unknown
}

/** How long all steps together may take. */
export interface StepLimit {
  /** In milliseconds. Default: no limit. */
  readonly timeoutMs: number | undefined
  /** The last sentence of the error, which says how to raise the limit. */
  readonly timeoutHint?: string | undefined
}

/** A start that took too long. Its last step may still be running. */
export class StartTimeoutError extends Error {
  override readonly name = 'StartTimeoutError'
}

/**
 * Runs the steps in their order.
 *
 * @param isOver called after each step: true ends the start
 * @throws {StartTimeoutError} when the time is up; it names the step that did not end
 */
export async function runSteps(
  steps: readonly StartStep[],
  isOver: () => boolean,
  { timeoutMs, timeoutHint = '' }: StepLimit,
): Promise<void> {
  let awaited = ''
  let isLate = false
  const run = async () => {
    for (const step of steps) {
      awaited = step.awaits
      await step.run()
      if (isLate) return
      if (isOver()) throw new Error(`Waybill was stopped while it waited for ${awaited}.`)
    }
  }
  if (timeoutMs === undefined) return await run()
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      isLate = true
      reject(new StartTimeoutError(`Waybill waited ${timeoutMs / 1000} s for ${awaited}. ${timeoutHint}`.trim()))
    }, timeoutMs)
  })
  await Promise.race([run(), late]).finally(() => clearTimeout(timer))
}
