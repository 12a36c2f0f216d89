/**
 * Gives the calls of a store a time limit, and turns thrown errors into rejections. A call that hangs, such as on a
 * dead connection, must not make a loop, a shutdown or a request hang too.
 */

import { TimeLimit } from '../util/time-limit.ts'
import type { Claim, Store } from './store.ts'

type Call = (...args: unknown[]) => Promise<unknown>

/** The methods without a limit: opening and closing may take long. */
const UNLIMITED: ReadonlySet<string> = new Set<keyof Store>(['open', 'close'])

/**
 * Limits the time of every call of a store except `open` and `close`. A method that throws rejects instead.
 *
 * @param ms milliseconds; a call that takes longer rejects, and its outcome is unknown
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
    watch: (listener, need) => store.watch(listener, need),
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

/**
 * The methods of a store, from its class or its own members. A method that is added to the contract gets a limit
 * without a change here.
 */
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

/**
 * Hands back operations that were claimed after the caller had stopped waiting. Otherwise they would be blocked until
 * their leases end.
 */
async function handBack(store: Store, late: Promise<Claim[]>): Promise<void> {
  const claims = await late.catch(() => [])
  for (const { operation } of claims) {
    const released = { kind: 'finish', attempt: operation.attempt, outcome: { kind: 'released' } } as const
    await promised(() => store.change(operation.id, released)).catch(() => {})
  }
}
