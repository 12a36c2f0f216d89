/** What an attempt asks the store about the operations that its handler submits. */
import { LONGEST_MS } from '../model/duration.ts'
import { isFinal } from '../model/protocol.ts'
import { listAllChildren } from '../stores/list-all-children.ts'
import type { Lease, OperationStore } from '../stores/store.ts'
import { acceptedOperation } from '../stores/store.ts'
import { type ChildEnd, type ChildSubmission, type Family, StopError } from './runners/runner.ts'

/**
 * Submits children. The parent is told first that it has some: a crash in between leaves none that nobody looks after.
 *
 * @throws {StopError} where the attempt has lost its lease
 */
export async function submitChildren(
  store: OperationStore,
  { id, attempt }: Lease,
  children: readonly ChildSubmission[],
): Promise<readonly string[]> {
  if ((await store.change(id, { kind: 'has-children', attempt })) === undefined) throw new StopError('LeaseLostError')
  return await Promise.all(children.map(child => submitChild(store, { ...child, parent: id })))
}

async function submitChild(store: OperationStore, { refused, ...child }: ChildSubmission): Promise<string> {
  // Until it is refused, nobody may claim it.
  const submission = refused === undefined ? child : { ...child, delay: LONGEST_MS }
  const { id } = acceptedOperation(await store.accept(submission))
  if (refused !== undefined) await store.change(id, { kind: 'refuse', problem: refused })
  return id
}

/** Reads which children have not ended, after how often ends were reported: what is reported meanwhile counts as new. */
export async function readFamily(store: OperationStore, parent: string): Promise<Family> {
  const told = (await store.read(parent))?.waits?.children?.told ?? 0
  return { unfinished: await listAllChildren(store, parent, 'unfinished'), told }
}

/** Reads how a child has ended; undefined while it has not. One that is gone counts as expired, for the handler to see. */
export async function readChildEnd(store: OperationStore, id: string): Promise<ChildEnd | undefined> {
  const child = await store.read(id)
  if (child === undefined || child.purged) return { status: 'canceled', at: child?.finishedAt ?? 0 }
  const { status, finishedAt, error } = child
  if (!isFinal(status)) return undefined
  const at = finishedAt ?? 0
  if (status !== 'completed') return { status, at, problem: error ?? undefined }
  return { status, at }
}
