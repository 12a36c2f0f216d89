/**
 * The contract of a scale trigger: it has an engine, such as KEDA, start executions that drain the backlog
 * (`waybill work --until-idle`). `azure-storage-queue/` is an implementation.
 *
 * A request is a hint and names no operation: an execution asks the store what there is to do. A lost request is made
 * again, and a surplus one costs an execution that finds nothing to claim and exits 0.
 */
export interface ScaleTrigger {
  /**
   * Asks the engine for executions. A trigger counts requests that are still pending, and sends only the missing ones.
   *
   * @param executions how many requests should be pending, 1 or more
   */
  request(executions: number): Promise<void>
}
