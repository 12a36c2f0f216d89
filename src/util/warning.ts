/** What an adapter does with a warning when its user gives no `warn`. */

/** Emits a process warning of the type `WaybillWarning`, which Node prints to standard error. */
export function emitWarning(message: string): void {
  process.emitWarning(message, 'WaybillWarning')
}
