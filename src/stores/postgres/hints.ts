/**
 * The content of notifications: hints for other processes. It is short, since PostgreSQL accepts less than 8,000 bytes
 * in each.
 */

import { isId } from '../../util/is-id.ts'
import type { Hint } from '../store.ts'

/** The kinds of hints that contain a name: of a type, an operation, or a look. */
const KINDS = ['ready', 'changed', 'cancel', 'ended', 'idle'] as const
type Kind = (typeof KINDS)[number]

/** A notification's content. */
export interface Message extends Readonly<Partial<Record<Kind, readonly string[]>>> {
  /** The sender. */
  readonly from: string
  /** Something changed, and the message does not say what. */
  readonly much?: true
  /** A listener checks whether its own notifications arrive. */
  readonly echo?: number
}

/** The most bytes of a payload; PostgreSQL accepts up to 7,999. */
const MOST_BYTES = 7900
/** With more ids than this, the message says only that something changed. */
const MOST_IDS = 10_000

/** Used instead of a message that cannot be read. */
const UNREADABLE: Message = { from: '', much: true }

const MEMBERS: Readonly<Record<keyof Message, (value: unknown) => boolean>> = {
  from: isString,
  ready: value => isListOf(value, isString),
  changed: value => isListOf(value, isOperationId),
  cancel: value => isListOf(value, isOperationId),
  ended: value => isListOf(value, isOperationId),
  idle: value => isListOf(value, isString),
  much: value => value === true,
  echo: Number.isSafeInteger,
}

/** The hints in a message. */
export function hintsOf(message: Message): Hint[] {
  if (message.much === true) return [{ kind: 'unknown' }]
  return KINDS.flatMap(kind => (message[kind] ?? []).map(name => toHint(kind, name)))
}

function toHint(kind: Kind, name: string): Hint {
  if (kind === 'idle') return { kind, look: name }
  return kind === 'ready' ? { kind, type: name } : { kind, id: name }
}

/**
 * Reads a message. Every role that can connect to the database may send one, so each member is checked: a message
 * that is not exactly as {@link Hints} writes it says only that something changed. Never throws.
 */
export function readMessage(payload: string | undefined): Message {
  const content = parse(payload ?? '')
  return isMessage(content) ? content : UNREADABLE
}

function parse(payload: string): unknown {
  try {
    return JSON.parse(payload)
  } catch {
    return undefined
  }
}

function isMessage(content: unknown): content is Message {
  if (typeof content !== 'object' || content === null || !Object.hasOwn(content, 'from')) return false
  return Object.entries(content).every(([name, value]) => isMember(name) && MEMBERS[name](value))
}

function isMember(name: string): name is keyof Message {
  return Object.hasOwn(MEMBERS, name)
}

function isString(value: unknown): boolean {
  return typeof value === 'string'
}

function isOperationId(value: unknown): boolean {
  return typeof value === 'string' && isId(value)
}

function isListOf(value: unknown, isItem: (item: unknown) => boolean): boolean {
  return Array.isArray(value) && value.every(isItem)
}

/** Hints that wait to be sent, each once. */
export class Hints {
  readonly #names: Readonly<Record<Kind, Set<string>>> = {
    ready: new Set(),
    changed: new Set(),
    cancel: new Set(),
    ended: new Set(),
    idle: new Set(),
  }
  #unknown = false

  get isEmpty(): boolean {
    return !this.#unknown && KINDS.every(kind => this.#names[kind].size === 0)
  }

  add(hint: Hint): void {
    if (hint.kind === 'unknown') this.#unknown = true
    else if (hint.kind === 'ready') this.#names.ready.add(hint.type)
    else if (hint.kind === 'idle') this.#names.idle.add(hint.look)
    else this.#names[hint.kind].add(hint.id)
    // The receiver reads the operation once, so the more specific hint replaces `changed`.
    if (hint.kind === 'ended' || hint.kind === 'cancel') this.#names.changed.delete(hint.id)
  }

  /** Writes the hints as payloads that are short enough. */
  write(from: string): string[] {
    const { changed, cancel, ended } = this.#names
    if (this.#unknown || changed.size + cancel.size + ended.size > MOST_IDS)
      return [JSON.stringify({ from, much: true })]
    return KINDS.flatMap(kind => inParts(from, kind, this.#names[kind]))
  }
}

function inParts(from: string, kind: Kind, values: ReadonlySet<string>): string[] {
  const parts: string[] = []
  let part: string[] = []
  let room = MOST_BYTES
  const finish = () => {
    if (part.length > 0) parts.push(JSON.stringify({ from, [kind]: part }))
    part = []
    room = MOST_BYTES - 2 * from.length - 50
  }
  finish()
  for (const value of values) {
    const needed = Buffer.byteLength(JSON.stringify(value)) + 1
    if (needed > room) finish()
    part.push(value)
    room -= needed
  }
  finish()
  return parts
}
