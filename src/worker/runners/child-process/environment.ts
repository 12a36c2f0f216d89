/** How a child process knows that it is one. */
import { isStartedAs } from '../../../util/process-origin.ts'

/** The exit code of a child that was ended by something other than its running attempt. */
export const LEFT_BEHIND_EXIT_CODE = 86

/**
 * Refuses to start children from a child, which would start further children without end.
 *
 * @throws when this process runs handlers itself
 */
export function refuseInChild(): void {
  if (!isStartedAs('child')) return
  throw new Error(
    'This process runs handlers for a Waybill worker, and the program that starts workers runs in it again. ' +
      'Let worker.handlers name a file that only exports handlers, and load that program neither there nor by --import.',
  )
}
