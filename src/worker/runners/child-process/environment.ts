/** What a child process knows of its place. */
import { isStartedAs } from '../../../util/process-origin.ts'

/** The exit code of a child that something outside of the running attempt has ended. */
export const LEFT_BEHIND_EXIT_CODE = 86

/**
 * Refuses to start children from a child, which would start more of them without an end.
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
