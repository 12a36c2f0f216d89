import { markInstances } from '../util/brand.ts'
import { ProblemError, problem } from './problem.ts'

/**
 * What `job.event` and `job.ask` throw when nothing has arrived within their `timeout`. A handler that does not catch
 * it fails for good, with the problem `wait-timeout`.
 *
 * @example
 * import { WaitTimeoutError } from 'waybill'
 *
 * const error = new WaitTimeoutError('approval')
 * console.log(error.wait) // approval
 */
export class WaitTimeoutError extends ProblemError {
  static {
    markInstances(WaitTimeoutError, 'waybill.WaitTimeoutError')
  }

  override readonly name: string = 'WaitTimeoutError'
  /** The name of the wait. */
  readonly wait: string

  constructor(wait: string) {
    super(problem('wait-timeout', `The event "${wait}" did not arrive in time.`))
    this.wait = wait
  }
}
