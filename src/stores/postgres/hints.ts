/** What notifications say: hints for other processes, written short, since PostgreSQL takes less than 8,000 bytes in each. */
import type { Hint } from '../../store.ts'

/** A notification's content. Whoever does not understand one takes it for a hint of nothing in particular. */
export interface Message {
  /** Who sends. */
  readonly from: string
  /** Types of which operations may be ready. */
  readonly ready?: readonly string[]
  /** Ids of operations that have changed. */
  readonly changed?: readonly string[]
  /** Too much has changed to be told. */
  readonly much?: true
  /** A listener asks whether it hears itself. */
  readonly echo?: number
}

/** Bytes of a payload, at most; PostgreSQL takes up to 7,999. */
const MOST_BYTES = 7900
/** More ids than this at once are not told one by one. */
export const MOST_IDS = 10_000

/** The hints in a message. */
export function hintsOf({ ready = [], changed = [], much }: Message): Hint[] {
  if (much === true) return [{ kind: 'unknown' }]
  return [
    ...ready.map(type => ({ kind: 'ready', type }) as const),
    ...changed.map(id => ({ kind: 'changed', id }) as const),
  ]
}

/** Reads a message. One that cannot be read, be it of a newer program, says that something has changed. */
export function readMessage(payload: string | undefined): Message {
  try {
    const message = JSON.parse(payload ?? '') as Message
    if (typeof message.from === 'string') return message
  } catch {}
  return { from: '', much: true }
}

/** Writes hints as payloads that are short enough. */
export function writeMessages(from: string, ready: ReadonlySet<string>, changed: ReadonlySet<string>): string[] {
  if (changed.size > MOST_IDS) return [JSON.stringify({ from, much: true })]
  return [...inParts(from, 'ready', ready), ...inParts(from, 'changed', changed)]
}

function inParts(from: string, kind: 'ready' | 'changed', values: ReadonlySet<string>): string[] {
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
