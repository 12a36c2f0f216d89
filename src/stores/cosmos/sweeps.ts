/** Ends what has run out, and deletes what has passed its retention. Any number of processes may sweep. */

import { isFinal } from '../../model/protocol.ts'
import { SET_BACK_MS } from '../../model/state-machine.ts'
import { inParallel } from '../../util/in-parallel.ts'
import type { SweepResult } from '../store.ts'
import { release } from './accept.ts'
import type { CosmosAccess } from './access.ts'
import { keyItemOf, namedBesides, type OperationItem, type Tagged } from './items.ts'
import type { Mutations } from './mutations.ts'
import { entombing, expiring, rescheduling } from './transitions.ts'

/** How long an operation's input may take to arrive, in milliseconds: what takes longer was left behind by a crash. */
const ARRIVES_WITHIN_MS = 3_600_000
/** How many operations one query asks the items of. */
const TOGETHER = 50
/** How many waiting operations are found at once, those due first, after the clock was set back. */
const RESCHEDULED_AT_ONCE = 1000

export async function sweep(
  access: CosmosAccess,
  mutations: Mutations,
  limit: number,
  aheadMs: number,
): Promise<SweepResult> {
  const expired = await expire(access, mutations, limit, aheadMs)
  const purged = await purge(access, mutations, limit)
  await clearStranded(access, limit)
  return { expired, purged }
}

/** Due times that were written by a clock which has been set back since. What it repeats finds none of what it has changed. */
export async function reschedule(access: CosmosAccess, mutations: Mutations): Promise<void> {
  let found = RESCHEDULED_AT_ONCE
  while (found === RESCHEDULED_AT_ONCE) {
    const now = access.now()
    const ids = await access.query<string>('ahead', { now, ahead: now + SET_BACK_MS }, RESCHEDULED_AT_ONCE)
    await inParallel(ids, id => mutations.apply(id, rescheduling()))
    found = ids.length
  }
}

async function expire(access: CosmosAccess, mutations: Mutations, limit: number, aheadMs: number) {
  const ids = await access.query<string>('expired', { now: access.now() }, limit)
  const operations = await inParallel(ids, id => mutations.apply(id, expiring(aheadMs)))
  return operations.filter(operation => operation !== undefined)
}

/** First the payloads go and a record stays to say so; the record goes later. */
async function purge(access: CosmosAccess, mutations: Mutations, limit: number): Promise<string[]> {
  const all = await access.items('purgeable', { now: access.now() }, limit)
  const entombed = await entomb(
    access,
    mutations,
    all.filter(({ item }) => !item.record.purged),
    'due',
  )
  const tombs = all.filter(({ item }) => item.record.purged)
  const gone = await inParallel(tombs, async tomb => ((await deleteIfSame(access, tomb)) ? [tomb.item.id] : []))
  return [...entombed, ...gone.flat()]
}

/** Deletes what is beside an ended operation at once; false where there is no such one, or nothing more of it. */
export async function purgeOne(access: CosmosAccess, mutations: Mutations, id: string): Promise<boolean> {
  const found = await access.latestOperation(id)
  if (found === undefined || !isFinal(found.item.record.status) || found.item.record.purged) return false
  return (await entomb(access, mutations, [found], 'ended')).length > 0
}

async function entomb(
  access: CosmosAccess,
  mutations: Mutations,
  operations: readonly Tagged<OperationItem>[],
  when: 'due' | 'ended',
): Promise<string[]> {
  await deleteBesides(access, operations)
  const entombed = await inParallel(operations, async ({ item }) => {
    const { id } = item
    const key = keyItemOf(item.record)
    // Before the record, which knows of it: a crash in between is made good by the next sweep.
    if (key !== undefined) await release(access, key, id)
    return (await mutations.apply(id, entombing(when))) ? [id] : []
  })
  return entombed.flat()
}

async function clearStranded(access: CosmosAccess, limit: number): Promise<void> {
  const all = await access.items('stranded', { before: access.now() - ARRIVES_WITHIN_MS }, limit)
  const deleted = await inParallel(all, async item => ((await deleteIfSame(access, item)) ? [item] : []))
  await deleteBesides(access, deleted.flat())
}

/** Deletes the items beside operations: those they name, and those that attempts wrote and could not have named any more. */
async function deleteBesides(access: CosmosAccess, operations: readonly Tagged<OperationItem>[]): Promise<void> {
  for (let at = 0; at < operations.length; at += TOGETHER) {
    const some = operations.slice(at, at + TOGETHER)
    const written = await access.besidesOf(some.map(({ item }) => item.id))
    const ids = new Set([...written, ...some.flatMap(({ item }) => namedBesides(item))])
    await inParallel([...ids], id => access.delete(id))
  }
}

async function deleteIfSame(access: CosmosAccess, { item, etag }: Tagged<OperationItem>): Promise<boolean> {
  return (await access.delete(item.id, etag)).kind === 'written'
}
