/**
 * The contract of a wake-up: it has an engine, such as KEDA, start executions that work off the backlog
 * (`waybill work --until-idle`). `wakeups/` holds the implementations.
 *
 * A call is a hint and names no operation: the store is asked what there is to do. One that is lost is made again, and a
 * surplus one costs an execution that finds nothing to claim and exits 0.
 */
export interface Wakeup {
  /** Sees to it that as many calls wait for an execution; those that wait already count. */
  call(executions: number): Promise<void>
}
