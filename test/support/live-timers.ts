/** How many timers there are, those that keep no process alive included. */
import { createHook } from 'node:async_hooks'

/** Counts the timers that are made from now on. */
export function countTimers(): { readonly live: () => number; readonly stop: () => void } {
  const timers = new Set<number>()
  const hook = createHook({
    init: (id, type) => {
      if (type === 'Timeout') timers.add(id)
    },
    destroy: id => void timers.delete(id),
  }).enable()
  return { live: () => timers.size, stop: () => void hook.disable() }
}
