/** What an attempt asks the store about the operations that its handler submits. */
import { LONGEST_MS } from '../model/duration.ts'
import type { Operation } from '../model/operation.ts'
import { isFinal } from '../model/protocol.ts'
import { recordedChildren } from '../model/waits.ts'
import { listAllChildren } from '../stores/list-all-children.ts'
import type { Lease, OperationStore } from '../stores/store.ts'
import { acceptedOperation } from '../stores/store.ts'
import { inParallel } from '../util/in-parallel.ts'
import { isDetachedKey } from './child-key.ts'
import type { ChildEnd, ChildSubmission, Family } from './runners/runner.ts'

/** How many children are canceled at once. */
const PARALLEL = 32
/** How many outcomes are read at once: a store reads them together if it can. */
const READS = 100

/**
 * Submits children. The record of the parent says first that it has children, so that a crash in between leaves no
 * child unattended. Undefined if the attempt has lost its lease.
 */
export async function submitChildren(
  store: OperationStore,
  { id, attempt }: Lease,
  children: readonly ChildSubmission[],
): Promise<readonly string[] | undefined> {
  if ((await store.change(id, { kind: 'has-children', attempt })) === undefined) return undefined
  const ids = await Promise.all(children.map(child => submitChild(store, { ...child, parent: id })))
  const after = await store.read(id)
  if (after?.status === 'running' && after.attempt === attempt) return ids
  // The parent may have ended meanwhile, and its other children may have been canceled without these.
  if (after === undefined || (isFinal(after.status) && after.status !== 'completed')) await cancelChildren(store, id)
  return undefined
}

async function submitChild(store: OperationStore, { refused, ...child }: ChildSubmission): Promise<string> {
  // It may not be claimed until it is refused.
  const submission = refused === undefined ? child : { ...child, delay: LONGEST_MS }
  const { id } = acceptedOperation(await store.accept(submission))
  if (refused !== undefined) await store.change(id, { kind: 'refuse', problem: refused })
  return id
}

/** Cancels the children that have not ended, except for detached ones. */
export async function cancelChildren(
  store: Pick<OperationStore, 'change' | 'listChildren' | 'read' | 'steps'>,
  parent: string,
): Promise<void> {
  const isDetached = new Map(recordedChildren(await store.steps(parent)).map(it => [it.id, it.detached === true]))
  const cancel = async (id: string) => {
    // A crash may have come before the record of the child, and a deletion of the parent after it.
    const goesOn = isDetached.get(id) ?? isDetachedKey((await store.read(id))?.idempotencyKey ?? null)
    if (!goesOn) await store.change(id, { kind: 'cancel' })
  }
  await inParallel(await listAllChildren(store, parent, 'unfinished'), cancel, PARALLEL)
}

/**
 * Cancels a child that was accepted after its parent had ended without it: the process that submitted it may have died
 * before it could. Checked at the first claim of the child: by then such a parent has ended.
 */
export async function cancelIfOrphan(
  store: Pick<OperationStore, 'change' | 'read'>,
  { id, parent, attempt, idempotencyKey }: Operation,
): Promise<void> {
  if (parent === null || attempt > 1 || isDetachedKey(idempotencyKey)) return
  const status = (await store.read(parent))?.status
  if (status === 'failed' || status === 'canceled') await store.change(id, { kind: 'cancel' })
}

/**
 * Reads which children have not ended. The number of reported ends is read first: an end that is reported in between
 * then counts as new.
 */
export async function readFamily(store: OperationStore, parent: string): Promise<Family> {
  const told = (await store.read(parent))?.waits?.children?.told ?? 0
  return { unfinished: await listAllChildren(store, parent, 'unfinished'), told }
}

/** Reads how children have ended, in their order; undefined for one that has not. One that was deleted has ended without a result. */
export async function readChildEnds(
  store: OperationStore,
  ids: readonly string[],
): Promise<readonly (ChildEnd | undefined)[]> {
  return await inParallel(ids, id => readChildEnd(store, id), READS)
}

async function readChildEnd(store: OperationStore, id: string): Promise<ChildEnd | undefined> {
  const child = await store.read(id)
  if (child === undefined) return { status: undefined, at: 0 }
  const { type, status, finishedAt, error } = child
  if (!isFinal(status)) return undefined
  const at = finishedAt ?? 0
  if (status !== 'completed') return { type, status, at, problem: error ?? undefined }
  return { type, status, at }
}
