/**
 * A store whose calls have a time limit and never throw in the caller's face: what hangs, such as a
 * connection whose other end is gone, must not hang a loop, a shutdown or a request with it.
 */

import { TimeLimit } from '../util/time-limit.ts'
import type { Claim, Store } from './store.ts'

/** The methods without a limit: what they do takes its own time, or is no call to anywhere. */
type Unlimited = 'open' | 'close' | 'watch'
type Optional = 'acceptWithin' | 'check'
type Limited = Exclude<keyof Store, Unlimited | Optional>

/** All that have one. The compiler asks for a method that is added. */
const LIMITED: Readonly<Record<Limited, true>> = {
  accept: true,
  read: true,
  findByKey: true,
  readPayload: true,
  claim: true,
  renew: true,
  change: true,
  appendNote: true,
  steps: true,
  logs: true,
  errors: true,
  list: true,
  queueStats: true,
  reserveForLaunch: true,
  listActive: true,
  holders: true,
  webhooksDue: true,
  sweep: true,
  browse: true,
  dump: true,
  restore: true,
}

/**
 * Puts a limit of time on every call of a store but `open` and `close`. A method that throws rejects.
 *
 * @param ms milliseconds; a call that takes longer rejects, and what it did is not known
 */
export function withTimeout(store: Store, ms: number): Store {
  const limit = new TimeLimit(ms, 'The store did not answer in time.')
  const limited = (name: Limited | Optional) => {
    const method = store[name] as (...given: unknown[]) => Promise<unknown>
    return (...given: unknown[]) => limit.within(called(() => method.apply(store, given)))
  }
  const names = Object.keys(LIMITED) as Limited[]
  const timed = Object.fromEntries(names.map(name => [name, limited(name)])) as unknown as Pick<Store, Limited>
  return {
    ...timed,
    ...(store.acceptWithin && { acceptWithin: limited('acceptWithin') as NonNullable<Store['acceptWithin']> }),
    ...(store.check && { check: limited('check') as NonNullable<Store['check']> }),
    open: () => called(() => store.open()),
    close: () => called(() => store.close()),
    watch: listener => store.watch(listener),
    claim: async request => {
      const claims = called(() => store.claim(request))
      return await limit.within(claims).catch(error => {
        void handBack(store, claims)
        throw error
      })
    },
  }
}

function called<T>(call: () => Promise<T>): Promise<T> {
  try {
    return call()
  } catch (error) {
    return Promise.reject(error)
  }
}

/** What is claimed after nobody waits for it any more would be held until its lease ends: it is given back. */
async function handBack(store: Store, late: Promise<Claim[]>): Promise<void> {
  const claims = await late.catch(() => [])
  for (const { operation } of claims) {
    const released = { kind: 'finish', attempt: operation.attempt, outcome: { kind: 'released' } } as const
    await called(() => store.change(operation.id, released)).catch(() => {})
  }
}
