/**
 * Ends operations whose lease or deadline has passed, and deletes those that have passed their retention. Any number of
 * processes may sweep.
 */

import { isFinal } from '../../model/protocol.ts'
import { SET_BACK_MS } from '../../model/state-machine.ts'
import { inParallel } from '../../util/in-parallel.ts'
import type { SweepResult } from '../store.ts'
import { release } from './accept.ts'
import type { CosmosAccess } from './access.ts'
import { keyItemOf, namedBesides, type OperationItem, type Tagged } from './items.ts'
import type { Mutations } from './mutations.ts'
import { entombing, expiring, rescheduling } from './transitions.ts'

/** How long an `arriving` item may wait for its input, in milliseconds. If it takes longer, a crash has left it. */
const ARRIVES_WITHIN_MS = 3_600_000
/** For how many operations one query reads the items. */
const TOGETHER = 50
/** How many waiting operations are found at once after the clock was set back, in the order of their due times. */
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

/**
 * Corrects due times that were written before the clock was set back. A corrected operation is not found again by the
 * next query.
 */
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

/** First deletes the payloads and keeps the record, so that clients get 410. The record is deleted later. */
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

/**
 * Deletes everything of an ended operation except its record, at once. False if there is no such operation, or nothing
 * is left to delete.
 */
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
    // The key is released before the record is changed, since the record names it: after a crash in between, the next
    // sweep repeats this.
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

/**
 * Deletes the items that belong to operations: those that the operations name, and those that attempts wrote without
 * being able to name them.
 */
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
