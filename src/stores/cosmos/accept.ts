/**
 * How a submission becomes durable, in a store that writes one item at a time.
 *
 * With an idempotency key: (1) the key's item is created, which contains the id of an operation, and (2) the operation
 * with that id is created. A process that finds an existing item for the key creates the operation that it names, if it
 * is missing. So equal keys have one id, and each id has one operation, even if a process crashes between the two
 * steps. An acknowledged submission has both items.
 *
 * With a large input: (1) the operation's item is written as `arriving`, which is not visible, (2) the input's item is
 * written, (3) the operation's item becomes an operation. If a crash interrupts this, the first item names what was
 * written, and a sweep deletes it.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Operation } from '../../model/operation.ts'
import { problemError } from '../../model/problem.ts'
import { accepted } from '../../model/state-machine.ts'
import type { Submission } from '../../model/submission.ts'
import type { Acceptance } from '../store.ts'
import type { CosmosAccess } from './access.ts'
import {
  bodyFor,
  fits,
  freshBeside,
  freshItem,
  isAged,
  keyItem,
  keyItemId,
  keyItemOf,
  type OperationItem,
  type Tagged,
} from './items.ts'

/** The most tries. Each failed one means that another submission made progress. */
const MOST_TURNS = 40
/** How long to wait for an operation of the same id whose input another process is writing, in milliseconds. */
const ARRIVES_SOON_MS = 2000
const LOOK_AGAIN_MS = 100

/** What exists after an attempt to create an operation. */
interface Made {
  readonly operation: Operation
  readonly byUs: boolean
}

/** @throws {ProblemError} `body-too-large` */
export async function accept(access: CosmosAccess, submission: Submission): Promise<Acceptance> {
  if (access.blobs === undefined && !fits(submission.input))
    throw problemError('body-too-large', 'The store, Cosmos DB, takes 2 MB of JSON text.')
  if (submission.idempotencyKey === null) {
    const { operation } = await make(access, submission, submission.id)
    return { kind: 'accepted', operation }
  }
  return await acceptByKey(access, submission, submission.idempotencyKey)
}

async function acceptByKey(access: CosmosAccess, submission: Submission, key: string): Promise<Acceptance> {
  const keyId = keyItemId(submission.type, submission.owner, key)
  for (let turn = 0; turn < MOST_TURNS; turn++) {
    const made = await makeReserved(access, keyId, submission)
    if (made !== undefined && keyItemOf(made.operation) === keyId) return answer(made)
    // The key is out of date: its operation is purged, or was created without this key under the same id.
    if (made !== undefined) await release(access, keyId, made.operation.id)
    if (made?.operation.id === submission.id) return { kind: 'accepted', operation: made.operation }
    await sleep(Math.random() * 5 * turn)
  }
  throw new Error(`The idempotency key of ${submission.id} was taken and released ${MOST_TURNS} times meanwhile.`)
}

function answer({ byUs, operation }: Made): Acceptance {
  return { kind: byUs ? 'accepted' : 'known', operation }
}

/** The operation that a key names; it is created if it is missing. Undefined if the key was deleted at this moment. */
async function makeReserved(access: CosmosAccess, keyId: string, submission: Submission): Promise<Made | undefined> {
  const ours = keyItem(keyId, submission.id, submission.retention, access.now())
  if ((await access.create(ours)) !== undefined) return await make(access, submission, submission.id)
  const key = await access.key(keyId)
  if (key === undefined) return undefined
  const id = key.item.operation
  const there = await access.operation(id)
  if (there?.item.kind === 'operation') return found(there.item, submission.id)
  // Its TTL has been running since it was written, and the operation that is created now needs a full TTL.
  if (isAged(key.item, access.now())) {
    const written = await access.replace({ ...ours, operation: id }, key.etag)
    if (written.kind !== 'written') return undefined
  }
  return await make(access, { ...submission, id }, submission.id)
}

function found({ record, madeBy }: OperationItem, us: string): Made {
  return { operation: record, byUs: madeBy === us }
}

/** Frees a key, unless it names another operation by now. */
export async function release(access: CosmosAccess, keyId: string, operation: string): Promise<void> {
  const key = await access.key(keyId)
  if (key?.item.operation === operation) await access.delete(keyId, key.etag)
}

/**
 * Creates the operation with the submission's id, unless it exists. `us` records who created it, so that a process that
 * repeats the submission recognizes it.
 */
async function make(access: CosmosAccess, submission: Submission, us: string): Promise<Made> {
  const { body, besides: input } = bodyFor('input', submission.id, submission.input)
  const steps = (submission.steps ?? []).map(([name, value]) => {
    return { name, value: freshBeside('step', submission.id, value) }
  })
  const besides = [...input, ...steps.map(({ value }) => value)]
  for (let turn = 0; turn < MOST_TURNS; turn++) {
    const now = access.now()
    const record = accepted(submission, now)
    const named = steps.map(({ name, value }) => ({ name, item: value.id }))
    const item = { ...freshItem(record, body, us), steps: named }
    const first: OperationItem = besides.length === 0 ? item : { ...item, kind: 'arriving', by: { arriving: now } }
    const placed = await place(access, first, us)
    if ('operation' in placed) return found(placed.operation, us)
    if (placed.etag === undefined) continue
    if (besides.length === 0) return { operation: record, byUs: true }
    await access.createBesides(besides)
    const written = await access.replace(item, placed.etag)
    if (written.kind === 'written') return { operation: record, byUs: true }
  }
  throw new Error(`The operation ${submission.id} was neither made nor found.`)
}

/** Writes the item. It replaces one that has stayed `arriving`. The result has no tag if another process was faster. */
async function place(
  access: CosmosAccess,
  item: OperationItem,
  us: string,
): Promise<{ readonly etag: string | undefined } | { readonly operation: OperationItem }> {
  const etag = await access.create(item)
  if (etag !== undefined) return { etag }
  const there: Tagged<OperationItem> | undefined = await access.operation(item.id)
  if (there === undefined) return { etag: undefined }
  if (there.item.kind === 'operation') return { operation: there.item }
  if (there.item.madeBy !== us && Math.abs(access.now() - (there.item.by.arriving ?? 0)) < ARRIVES_SOON_MS) {
    await sleep(LOOK_AGAIN_MS)
    return { etag: undefined }
  }
  const written = await access.replace(item, there.etag)
  return { etag: written.kind === 'written' ? written.etag : undefined }
}
