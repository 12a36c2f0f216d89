/** Reports the warnings of adapters for which the user has not set `warn`. */

/** Emits a process warning of the type `WaybillWarning`, which Node prints to standard error. */
export function emitWarning(message: string): void {
  process.emitWarning(message, 'WaybillWarning')
}
