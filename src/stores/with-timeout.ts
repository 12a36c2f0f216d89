/**
 * A store whose calls have a time limit, and reject where they would throw: a call that hangs, such as on a connection
 * whose other end is gone, must not hang a loop, a shutdown or a request with it.
 */

import { TimeLimit } from '../util/time-limit.ts'
import type { Claim, Store } from './store.ts'

type Call = (...args: unknown[]) => Promise<unknown>

/** The methods without a limit: to open and to close takes its own time. */
const UNLIMITED: ReadonlySet<string> = new Set<keyof Store>(['open', 'close'])

/**
 * Limits the time of every call of a store but `open` and `close`. A method that throws rejects.
 *
 * @param ms milliseconds; a call that takes longer rejects, and what it did is not known
 */
export function withTimeout(store: Store, ms: number): Store {
  const limit = new TimeLimit(ms, 'The store did not answer in time.')
  const limited = (name: string): Call => {
    const method = store[name as keyof Store] as Call
    const call: Call = (...args) => promised(() => method.apply(store, args))
    return UNLIMITED.has(name) ? call : (...args) => limit.within(call(...args))
  }
  return {
    ...(Object.fromEntries(methodNames(store).map(name => [name, limited(name)])) as unknown as Store),
    isRemote: store.isRemote,
    watch: listener => store.watch(listener),
    ...(store.tellIdle !== undefined && { tellIdle: look => store.tellIdle?.(look) }),
    claim: async request => {
      const claims = promised(() => store.claim(request))
      return await limit.within(claims).catch(error => {
        void handBack(store, claims)
        throw error
      })
    },
  }
}

/** The methods of a store are of a class, or its own: a method that the contract gains has a limit without another line here. */
function methodNames(store: Store): string[] {
  const names = new Set<string>()
  let at: object | null = store
  while (at !== null && at !== Object.prototype) {
    for (const name of Object.getOwnPropertyNames(at)) names.add(name)
    at = Object.getPrototypeOf(at)
  }
  names.delete('constructor')
  return [...names].filter(name => typeof store[name as keyof Store] === 'function')
}

function promised<T>(call: () => Promise<T>): Promise<T> {
  try {
    return call()
  } catch (error) {
    return Promise.reject(error)
  }
}

/** What is claimed after the caller stopped waiting would be held until its lease ends: it is given back. */
async function handBack(store: Store, late: Promise<Claim[]>): Promise<void> {
  const claims = await late.catch(() => [])
  for (const { operation } of claims) {
    const released = { kind: 'finish', attempt: operation.attempt, outcome: { kind: 'released' } } as const
    await promised(() => store.change(operation.id, released)).catch(() => {})
  }
}
