/**
 * A store whose answers are waited for so long and no longer: what hangs, such as a connection
 * whose other end is gone, must not hang a loop, a shutdown or a request with it.
 */
import type { Claim, Store } from './store.ts'
import { TimeLimit } from './time-limit.ts'

/**
 * Puts a limit of time on every call of a store but `open` and `close`.
 *
 * @param ms milliseconds; a call that takes longer rejects, and what it did is not known
 */
export function timedStore(store: Store, ms: number): Store {
  const limit = new TimeLimit(ms, 'The store did not answer in time.')
  const { acceptWithin, check } = store
  return {
    open: () => store.open(),
    close: () => store.close(),
    watch: listener => store.watch(listener),
    ...(check && { check: () => limit.within(check.call(store)) }),
    accept: submission => limit.within(store.accept(submission)),
    ...(acceptWithin && {
      acceptWithin: (submission, transaction) => limit.within(acceptWithin.call(store, submission, transaction)),
    }),
    read: id => limit.within(store.read(id)),
    byKey: (type, owner, key) => limit.within(store.byKey(type, owner, key)),
    payload: (id, kind) => limit.within(store.payload(id, kind)),
    claim: async request => {
      const claims = store.claim(request)
      return await limit.within(claims).catch(error => {
        void handBack(store, claims)
        throw error
      })
    },
    renew: (leases, leaseMs) => limit.within(store.renew(leases, leaseMs)),
    change: (id, change) => limit.within(store.change(id, change)),
    note: (lease, note) => limit.within(store.note(lease, note)),
    steps: id => limit.within(store.steps(id)),
    logs: (id, after) => limit.within(store.logs(id, after)),
    list: query => limit.within(store.list(query)),
    queue: type => limit.within(store.queue(type)),
    launch: request => limit.within(store.launch(request)),
    holdings: () => limit.within(store.holdings()),
    unfinished: (type, owner, most) => limit.within(store.unfinished(type, owner, most)),
    webhooksDue: most => limit.within(store.webhooksDue(most)),
    sweep: most => limit.within(store.sweep(most)),
    browse: query => limit.within(store.browse(query)),
    dump: (after, most) => limit.within(store.dump(after, most)),
    restore: dumps => limit.within(store.restore(dumps)),
  }
}

/** What is claimed after nobody waits for it any more would be held until its lease ends: it is given back. */
async function handBack(store: Store, late: Promise<Claim[]>): Promise<void> {
  const claims = await late.catch(() => [])
  for (const { operation } of claims) {
    const released = { kind: 'finish', attempt: operation.attempt, outcome: { kind: 'released' } } as const
    await store.change(operation.id, released).catch(() => {})
  }
}
