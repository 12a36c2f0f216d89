/** What a suspended handler waits for, and what has arrived. Pure functions, like the state machine that uses them. */

/** What a handler can wait for: a time, an event, an answer to a question, or operations that it has submitted. */
export const WAIT_KINDS = ['time', 'event', 'input', 'children'] as const
export type WaitKind = (typeof WAIT_KINDS)[number]

/** One wait of a suspended handler. */
export interface Wait {
  readonly kind: WaitKind
  readonly name: string
  /** When it ends without an event, in milliseconds since the epoch, by the store's clock; null for never. */
  readonly until: number | null
  /** The question of an `input`. */
  readonly message?: string
  /** The JSON Schema of the event, at most 16 KiB. */
  readonly schema?: Readonly<Record<string, unknown>>
  /** Only for a question to the caller's model: the most tokens of its answer. */
  readonly model?: { readonly maxTokens: number }
  /** Only for `children`: the wait is over when at most this number of all children are unfinished. */
  readonly left?: number
}

/** A wait as a handler asks for it. */
export interface WaitRequest extends Omit<Wait, 'until'> {
  /**
   * Milliseconds until it ends by itself; null for never. Ignored for a wait that is open already: that keeps its end.
   */
  readonly withinMs: number | null
  /** Only for `children`: how many reports of ended children the operation had received when `left` was computed. */
  readonly told?: number
}

/** What a handler waits for, and what has arrived. */
export interface Waits {
  /** The waits with which it was suspended last. */
  readonly open: readonly Wait[]
  /** The names of the events that have arrived, at most {@link MAX_EVENTS}; their values are steps. */
  readonly received: readonly string[]
  /**
   * Only for an operation that submits others: how many reports of ended children it has received (`told`), and how
   * many children were unfinished at the last one.
   */
  readonly children?: { readonly told: number; readonly unfinished: number }
}

/** How many events one operation takes. */
const MAX_EVENTS = 1000

/** The beginning of the names of steps that waits write. `job.step` does not write them. */
export const RESERVED_STEPS = 'waybill:'

/** The beginning of the name of a step that keeps the token of a callback URL. The name of the wait follows. */
export const CALLBACK_STEP = `${RESERVED_STEPS}callback:`

/**
 * The beginning of the name of a step that keeps which children were submitted, as JSON of keys and ids. The id of the
 * first child follows.
 */
export const CHILDREN_STEP = `${RESERVED_STEPS}children:`

/** What such a step keeps of each child. */
export interface RecordedChild {
  readonly key: string
  readonly id: string
  readonly detached?: true
}

/**
 * The children that steps have recorded. If two have the same key, the one with the later id counts: it is a retry of
 * the other.
 */
export function recordedChildren(steps: ReadonlyMap<string, string>): RecordedChild[] {
  const children = new Map<string, RecordedChild>()
  const ofChildren = [...steps].filter(([name]) => name.startsWith(CHILDREN_STEP))
  for (const child of ofChildren.flatMap(([, value]) => JSON.parse(value) as RecordedChild[])) {
    const other = children.get(child.key)
    if (other === undefined || other.id < child.id) children.set(child.key, child)
  }
  return [...children.values()]
}

/** The length is counted in UTF-16 code units. */
const NAME = /^[^\0]{1,200}$/

/** Whether a value can be the name of a step or a wait in every store. */
export function isName(name: unknown): name is string {
  return typeof name === 'string' && NAME.test(name) && name.isWellFormed()
}

const EVENT_NAME = /^[A-Za-z0-9][\w.-]{0,63}(?:#\d{1,4})?$/

/**
 * Whether a string can be the name of an event, which is a segment of a URL path: `paid`, or `paid#2` for the second
 * wait of that name.
 */
export function isEventName(name: unknown): name is string {
  return typeof name === 'string' && EVENT_NAME.test(name)
}

/**
 * The due time of an operation that becomes ready only by an event or its children: the last millisecond of the year
 * 9999.
 */
export const NEVER_DUE = 253_402_300_799_999

const NONE: Waits = { open: [], received: [] }

/** The beginning of the names of such steps. */
const WAIT_STEP = `${RESERVED_STEPS}wait:`

/** The name of the step that keeps how a wait ended: with the value of an event, or without an event. */
export function waitStep(name: string): string {
  return WAIT_STEP + name
}

/** How a wait ended, as its step keeps it: `value` is present only if an event has arrived. */
export interface WaitEnd {
  readonly value?: unknown
  /** Present only for a sleep, not for a wait for an event. */
  readonly kind?: 'time'
  /** When, in milliseconds since the epoch, by the store's clock. */
  readonly at: number
}

/** Whether a step keeps that an event did not come in time. */
export function isMissedEvent(step: string, value: string): boolean {
  if (!step.startsWith(WAIT_STEP)) return false
  const end = JSON.parse(value) as WaitEnd
  return !('value' in end) && end.kind !== 'time'
}

/** The JSON text of such a step for an event. `json` is the value of the event. */
export function eventText(json: string, at: number): string {
  return `{"value":${json},"at":${at}}`
}

/** The waits of a handler that has been suspended, and when the first of them is over; `now` where one is over already. */
export function suspendedWaits(
  before: Waits | null,
  requests: readonly WaitRequest[],
  now: number,
): { readonly waits: Waits; readonly dueAt: number } {
  const was = before ?? NONE
  const open = requests.map(request => opened(request, was.open, now))
  // What it waits for may have arrived before the attempt was suspended.
  const hasCome = requests.some(request => hasEnded(request, was))
  const dueAt = hasCome ? now : Math.min(NEVER_DUE, ...open.map(({ until }) => until ?? NEVER_DUE))
  return { waits: { ...was, open }, dueAt }
}

function hasEnded({ kind, name, left = 0, told = 0 }: WaitRequest, { received, children }: Waits): boolean {
  if (kind === 'children') return children !== undefined && children.told > told && children.unfinished <= left
  return kind !== 'time' && received.includes(name)
}

function opened({ withinMs, told: _, ...request }: WaitRequest, known: readonly Wait[], now: number): Wait {
  const before = known.find(({ name, kind }) => name === request.name && kind === request.kind)
  const until = withinMs === null ? null : Math.min(now + Math.max(0, withinMs), NEVER_DUE)
  return { ...request, until: before === undefined ? until : before.until }
}

/**
 * The waits after an event has arrived. Undefined where the event is refused: one of its name arrived before, the time
 * of its wait is over, or too many events have arrived.
 */
export function receivedEvent(before: Waits | null, name: string, now: number): Waits | undefined {
  const was = before ?? NONE
  const { open, received } = was
  const until = open.find(wait => isFor(wait, name))?.until ?? NEVER_DUE
  if (until <= now || received.includes(name) || received.length >= MAX_EVENTS) return undefined
  return { ...was, received: [...received, name] }
}

/** Whether the wait is for an event of this name. */
export function isFor(wait: Wait, name: string): boolean {
  return (wait.kind === 'event' || wait.kind === 'input') && wait.name === name
}

/** Whether the wait is for children, and over while this number of them is unfinished. */
export function isOver({ kind, left = 0 }: Wait, unfinished: number): boolean {
  return kind === 'children' && unfinished <= left
}

/** The waits of an operation that submits others. */
export function withChildren(before: Waits | null): Waits {
  const was = before ?? NONE
  return { ...was, children: was.children ?? { told: 0, unfinished: 0 } }
}
