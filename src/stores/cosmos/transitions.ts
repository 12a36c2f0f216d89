/**
 * The pure state machine as mutations of items. Each mutation checks the item that it is applied to, and refuses if it
 * does not fit.
 */
import type { Change, ClaimBy, Operation } from '../../model/operation.ts'
import { problem } from '../../model/problem.ts'
import { changed, claimed, expired, launching, renewed, rescheduled } from '../../model/state-machine.ts'
import { eventText, waitStep } from '../../model/waits.ts'
import { type Lease, LOG_LIMIT, type Note, type Renewal } from '../store.ts'
import {
  type BesideItem,
  bodyFor,
  errorItem,
  fits,
  freshBeside,
  type OperationItem,
  stepItem,
  tombstone,
  withRecord,
} from './items.ts'
import type { Mutated, Mutation } from './mutations.ts'

/**
 * Makes the mutation of a change. Its result is undefined if the change was refused.
 *
 * @param limited whether there is no blob store for values that are too large for an item
 */
export function changing(id: string, asked: Change, limited: boolean): Mutation<Operation | undefined> {
  const change = limited ? withinLimit(asked) : asked
  const output = change.kind === 'finish' && change.outcome.kind === 'completed' ? change.outcome.output : undefined
  const stored = output === undefined ? undefined : bodyFor('output', id, output)
  const thrown =
    change.kind === 'finish' && 'error' in change.outcome && change.outcome.error !== undefined
      ? errorItem(id, change.attempt, change.outcome.error)
      : undefined
  return (item, now) => {
    const record = item && changed(item.record, change, now)
    if (item === undefined || record === undefined) return { result: undefined }
    const event = change.kind === 'event' ? eventStep(id, change, now) : undefined
    const after = {
      ...item,
      ...(stored && { output: stored.body }),
      ...(thrown && { errors: [...(item.errors ?? []), { attempt: record.attempt, item: thrown.id }] }),
      ...(event && { steps: withStep(item, event) }),
    }
    const besides = [...(stored?.besides ?? []), ...(thrown ? [thrown] : []), ...(event ? [event.item] : [])]
    return { item: withRecord(after, record, now), besides, result: record }
  }
}

function eventStep(id: string, { name, value }: Change & { kind: 'event' }, now: number) {
  return { name: waitStep(name), item: freshBeside('step', id, eventText(value, now)) }
}

/** If several steps have the same name, the first one stays. */
function withStep(
  { steps }: OperationItem,
  { name, item }: { name: string; item: BesideItem },
): OperationItem['steps'] {
  return steps.some(step => step.name === name) ? steps : [...steps, { name, item: item.id }]
}

/** A result that is too large to keep fails the operation: another attempt would not make it smaller. */
function withinLimit(change: Change): Change {
  if (change.kind !== 'finish' || change.outcome.kind !== 'completed' || fits(change.outcome.output)) return change
  const detail = 'An item of Cosmos DB takes 2 MB.'
  return { ...change, outcome: { kind: 'failed', problem: problem('output-too-large', detail) } }
}

/** The next attempt begins. */
export function claiming(by: ClaimBy, only: 'due' | 'any'): Mutation<OperationItem | undefined> {
  return (item, now) => take(item, now, only, record => claimed(record, by, now))
}

/** An execution is about to be started. */
export function holdingBack(holdMs: number): Mutation<OperationItem | undefined> {
  return (item, now) => take(item, now, 'due', record => launching(record, holdMs, now))
}

function take(
  item: OperationItem | undefined,
  now: number,
  only: 'due' | 'any',
  transition: (record: Operation) => Operation | undefined,
): Mutated<OperationItem | undefined> {
  if (item === undefined || (only === 'due' && (item.record.runAt ?? 0) > now)) return { result: undefined }
  const record = transition(item.record)
  if (record === undefined) return { result: undefined }
  const next = withRecord(item, record, now)
  return { item: next, result: next }
}

export function renewing({ attempt }: Lease, leaseMs: number): Mutation<Renewal> {
  return (item, now) => {
    const record = item && renewed(item.record, attempt, leaseMs, now)
    if (item === undefined || record === undefined) return { result: { kind: 'lost' } }
    const result = { kind: 'held', cancelRequested: record.cancelRequested } as const
    return { item: withRecord(item, record, now), silent: true, result }
  }
}

/** Makes the mutation of a note. Its result is false if the attempt no longer owns the operation. */
export function noting({ id, attempt }: Lease, note: Note): Mutation<boolean> {
  return (item, now) => {
    const owns = item?.record.status === 'running' && item.record.attempt === attempt
    if (item === undefined || !owns) return { result: false }
    return note.kind === 'step' ? recordingStep(item, { id, attempt }, note) : logging(item, attempt, note, now)
  }
}

/**
 * The outcome is written first, in an item that only this attempt can write. The step is recorded once the operation's
 * item names it.
 */
function recordingStep(item: OperationItem, { id, attempt }: Lease, note: Note & { kind: 'step' }): Mutated<boolean> {
  if (item.steps.some(({ name }) => name === note.name)) return { result: true }
  const value = stepItem(id, attempt, note)
  const steps = [...item.steps, { name: note.name, item: value.id }]
  return { item: { ...item, steps }, besides: [value], silent: true, result: true }
}

function logging(item: OperationItem, attempt: number, note: Note & { kind: 'log' }, at: number): Mutated<boolean> {
  const { count, parts, tail } = item.log
  if (count >= LOG_LIMIT) return { result: true }
  const line = { sequence: count + 1, at, attempt, level: note.level, message: note.message }
  return { item: { ...item, log: { count: count + 1, parts, tail: [...tail, line] } }, result: true }
}

/** Makes the mutation of a sweep. Its result is the operation, if its lease or one of its deadlines had passed. */
export function expiring(aheadMs: number): Mutation<Operation | undefined> {
  return recording((record, now) => expired(record, now, aheadMs))
}

export function rescheduling(): Mutation<Operation | undefined> {
  return recording(rescheduled)
}

/** Makes the mutation of a change of the record. Its result is the new record, if one was written. */
function recording(next: (record: Operation, now: number) => Operation | undefined): Mutation<Operation | undefined> {
  return (item, now) => {
    const record = item && next(item.record, now)
    if (item === undefined || record === undefined) return { result: undefined }
    return { item: withRecord(item, record, now), result: record }
  }
}

/**
 * Makes the mutation that deletes the payloads. Its result is whether there were any to delete.
 *
 * @param when `due`: only once its retention has passed; `ended`: as soon as it has ended
 */
export function entombing(when: 'due' | 'ended'): Mutation<boolean> {
  return (item, now) => {
    if (item === undefined || item.record.purged || item.purgeAt === null || (when === 'due' && item.purgeAt > now)) {
      return { result: false }
    }
    return { item: tombstone(item, now), result: true }
  }
}
