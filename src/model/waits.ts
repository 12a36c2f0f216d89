/** What a suspended handler waits for, and what has come: pure, as the state machine that uses it. */

/** What a handler can wait for: a time, an event, or an answer to a question. */
export const WAIT_KINDS = ['time', 'event', 'input'] as const
export type WaitKind = (typeof WAIT_KINDS)[number]

/** What a suspended handler waits for. */
export interface Wait {
  readonly kind: WaitKind
  readonly name: string
  /** When it ends without an event, in milliseconds since the epoch, by the store's clock; null for never. */
  readonly until: number | null
  /** The question of an `input`. */
  readonly message?: string
  /** What an event must be: a JSON Schema, of at most 16 KiB. */
  readonly schema?: Readonly<Record<string, unknown>>
}

/** A wait as a handler asks for it. */
export interface WaitRequest extends Omit<Wait, 'until'> {
  /** Milliseconds until it ends by itself; null for never. A wait that is open already keeps its end. */
  readonly withinMs: number | null
}

/** What a handler waits for, and what has come. */
export interface Waits {
  /** What it waited for when it was suspended last. */
  readonly open: readonly Wait[]
  /** The names of the events that have come, at most {@link MAX_EVENTS}; their values are steps. */
  readonly received: readonly string[]
}

/** How many events one operation takes. */
const MAX_EVENTS = 1000

/** Steps whose names begin so are written by waits, and not by `job.step`. */
export const RESERVED_STEPS = 'waybill:'

/** Of each callback URL, a step keeps the token; the name of the wait follows. */
export const CALLBACK_STEP = `${RESERVED_STEPS}callback:`

/** Counted as UTF-16 code units. */
const NAME = /^[^\0]{1,200}$/

/** Whether every store can keep it as the name of a step or a wait. */
export function isName(name: unknown): name is string {
  return typeof name === 'string' && NAME.test(name) && name.isWellFormed()
}

const EVENT_NAME = /^[A-Za-z0-9][\w.-]{0,63}(?:#\d{1,4})?$/

/** Whether it can be the name of an event, which is a part of a path: `paid`, or `paid#2` for the second wait of that name. */
export function isEventName(name: unknown): name is string {
  return typeof name === 'string' && EVENT_NAME.test(name)
}

/** The due time of what no time makes ready: the last millisecond of the year 9999. */
export const NEVER_DUE = 253_402_300_799_999

const NONE: Waits = { open: [], received: [] }

/** The name of the step that keeps how a wait ended: what came as an event, or that nothing did. */
export function waitStep(name: string): string {
  return `${RESERVED_STEPS}wait:${name}`
}

/** How a wait ended, as its step keeps it: `value` is there only where an event has come. */
export interface WaitEnd {
  readonly value?: unknown
  /** When, in milliseconds since the epoch, by the store's clock. */
  readonly at: number
}

/** The JSON text of such a step, for an event of this JSON text. */
export function eventText(json: string, at: number): string {
  return `{"value":${json},"at":${at}}`
}

/** The waits of a handler that has been suspended, and when the first of them is over; `now` where one is over already. */
export function suspendedWaits(
  before: Waits | null,
  requests: readonly WaitRequest[],
  now: number,
): { readonly waits: Waits; readonly dueAt: number } {
  const { open: known, received } = before ?? NONE
  const open = requests.map(request => opened(request, known, now))
  // An event may have come while the attempt was on its way to this wait.
  const hasCome = open.some(({ name, kind }) => kind !== 'time' && received.includes(name))
  const dueAt = hasCome ? now : Math.min(NEVER_DUE, ...open.map(({ until }) => until ?? NEVER_DUE))
  return { waits: { open, received }, dueAt }
}

function opened({ withinMs, ...request }: WaitRequest, known: readonly Wait[], now: number): Wait {
  const before = known.find(({ name, kind }) => name === request.name && kind === request.kind)
  const until = withinMs === null ? null : Math.min(now + Math.max(0, withinMs), NEVER_DUE)
  return { ...request, until: before === undefined ? until : before.until }
}

/**
 * The waits once an event has come; undefined where it is refused: one of its name has come before, the time of its wait
 * is over, or too many have come.
 */
export function receivedEvent(before: Waits | null, name: string, now: number): Waits | undefined {
  const { open, received } = before ?? NONE
  const until = open.find(wait => isFor(wait, name))?.until ?? NEVER_DUE
  if (until <= now || received.includes(name) || received.length >= MAX_EVENTS) return undefined
  return { open, received: [...received, name] }
}

/** Whether the wait is for an event of this name. */
export function isFor(wait: Wait, name: string): boolean {
  return wait.kind !== 'time' && wait.name === name
}
