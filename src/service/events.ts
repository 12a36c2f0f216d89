/**
 * Events for operations whose handlers wait: who may send an event, which values are valid, and which event of a name
 * counts.
 */
import { timingSafeEqual } from 'node:crypto'
import { fingerprint } from '../model/json.ts'
import { isSuspended, type Operation } from '../model/operation.ts'
import type { AnyOperationType } from '../model/operation-type.ts'
import { problemError } from '../model/problem.ts'
import { isFinal } from '../model/protocol.ts'
import { validate } from '../model/validation.ts'
import { CALLBACK_STEP, isEventName, isFor, type Wait, type WaitEnd, waitStep } from '../model/waits.ts'
import type { OperationStore } from '../stores/store.ts'

/** The most bytes of the value of an event, as JSON. */
export const MAX_EVENT_BYTES: number = 64 * 1024

/** What is sent to an operation. */
export interface EventRequest {
  /**
   * The name of the wait: 1 to 64 letters, digits, `_`, `.` and `-`; or `name#2` for the second wait with this name.
   */
  readonly name: string
  /** Any JSON value, of at most 64 KiB. */
  readonly value: unknown
}

/** What events need of a store. */
type EventStore = Pick<OperationStore, 'read' | 'steps' | 'change'>

/** Whether the caller may answer: the owner may, and every caller that the `mayAnswer` of the type admits. */
export async function mayAnswer(
  { policy }: AnyOperationType,
  { id, owner }: Operation,
  caller: string,
  name: string,
): Promise<boolean> {
  return caller === owner || (await policy.mayAnswer?.(caller, { id, owner, name })) === true
}

/**
 * What the handler of an operation waits for now. If one of several events has arrived, the handler runs again and soon
 * waits for the others again. Meanwhile these waits count as open, unless their time was over when the attempt began.
 */
export function openWaits(operation: Operation): readonly Wait[] {
  const { waits, status, history, attemptStartedAt } = operation
  if (waits === null || isFinal(status)) return []
  if (isSuspended(operation)) return waits.open
  if (history.at(-1)?.outcome !== 'suspended') return []
  const isOpen = ({ name, until }: Wait) =>
    !waits.received.includes(name) && (until === null || until > (attemptStartedAt ?? 0))
  return waits.open.filter(wait => isEvent(wait) && isOpen(wait))
}

function isEvent({ kind }: Wait): boolean {
  return kind === 'event' || kind === 'input'
}

/** Whether its handler waits for an event, which may arrive at any time. */
export function awaitsEvent(operation: Operation): boolean {
  return openWaits(operation).some(isEvent)
}

/** Whether its handler waits for operations that it has submitted. */
export function awaitsChildren(operation: Operation): boolean {
  return openWaits(operation).some(({ kind }) => kind === 'children')
}

/**
 * Sends an event. The same one again changes nothing.
 *
 * @returns the operation as it is then
 * @throws {ProblemError} `invalid-request` for the name, `invalid-event`, `event-refused`, `operation-finished`
 */
export async function sendEvent(store: EventStore, operation: Operation, event: EventRequest): Promise<Operation> {
  const { id } = operation
  if (!isEventName(event.name)) {
    throw problemError('invalid-request', 'The name of an event has 1 to 64 letters, digits, "_", "." and "-".')
  }
  if (await isKnown(store, id, event)) return operation
  if (isFinal(operation.status)) throw finished(operation)
  const wait = openWaits(operation).find(it => isFor(it, event.name))
  const { errors } = await validate(wait?.schema, event.value)
  if (errors !== undefined) throw problemError('invalid-event', undefined, { extensions: { errors } })
  const value = JSON.stringify(event.value ?? null)
  const after = await store.change(id, { kind: 'event', name: event.name, value })
  if (after !== undefined) return after
  return await refused(store, operation, event)
}

/** The problem of a refused event: another event of the name was first, or the operation has changed meanwhile. */
async function refused(store: EventStore, { id }: Operation, event: EventRequest): Promise<Operation> {
  const isSame = await isKnown(store, id, event)
  const now = await store.read(id)
  if (now === undefined) throw problemError('not-found')
  if (isSame) return now
  if (isFinal(now.status)) throw finished(now)
  throw problemError('event-refused', `The time for "${event.name}" is over, or too many events have come.`)
}

/** @throws {ProblemError} `event-refused` where another event of the name counts */
async function isKnown(store: EventStore, id: string, { name, value }: EventRequest): Promise<boolean> {
  const text = (await store.steps(id)).get(waitStep(name))
  if (text === undefined) return false
  const end = JSON.parse(text) as WaitEnd
  if (!('value' in end)) throw problemError('event-refused', `The time for "${name}" is over.`)
  if (fingerprint(end.value) === fingerprint(value ?? null)) return true
  throw problemError('event-refused', `Another event named "${name}" has come before.`)
}

function finished({ status }: Operation) {
  return problemError('operation-finished', `Its status is "${status}".`)
}

/** The name of the wait whose callback URL has this token; undefined if there is none. */
export async function callbackName(store: EventStore, id: string, token: string): Promise<string | undefined> {
  const given = Buffer.from(token)
  for (const [step, value] of await store.steps(id)) {
    if (!step.startsWith(CALLBACK_STEP)) continue
    const known = Buffer.from(JSON.parse(value) as string)
    if (known.length === given.length && timingSafeEqual(known, given)) return step.slice(CALLBACK_STEP.length)
  }
  return undefined
}
