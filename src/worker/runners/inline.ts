/** Runs handlers on the worker's event loop: the least overhead, for handlers that wait more than they compute. */

import type { Handler } from '../../model/handler.ts'
import { runAttempt } from '../attempt.ts'
import { fileUrl, type Handlers, handlersByType, loadHandlers } from '../handlers.ts'
import { type RunContext, type Runner, type RunResult, stopReason } from './runner.ts'

/**
 * Makes a runner on the event loop of the caller, of handlers or of the files that export them.
 *
 * @param startTimeoutMs how long files may take to load, in milliseconds
 */
export function inlineRunner(handlers: Handlers | readonly (string | URL)[], startTimeoutMs: number): Runner {
  let byType: ReadonlyMap<string, Handler> = new Map()
  return {
    start: async () => {
      byType = areFiles(handlers) ? await loadHandlers(handlers.map(fileUrl), startTimeoutMs) : handlersByType(handlers)
      return [...byType.keys()]
    },
    run: async (task, context) =>
      await Promise.race([runAttempt(byType.get(task.type), task, context), leftBehind(context)]),
    close: async () => {},
  }
}

function areFiles(handlers: Handlers | readonly (string | URL)[]): handlers is readonly (string | URL)[] {
  const [first] = [handlers].flat()
  return typeof first === 'string' || first instanceof URL
}

/** A handler that goes on after its grace time cannot be ended here; its lease is given up, so nothing it writes counts. */
function leftBehind({ signal, graceMs }: RunContext): Promise<RunResult> {
  return new Promise(resolve => {
    const end = () => void setTimeout(() => resolve({ kind: 'ended' }), graceMs(stopReason(signal))).unref()
    if (signal.aborted) end()
    else signal.addEventListener('abort', end, { once: true })
  })
}
