/** Makes plain JSON of any value. For values from clients and handlers, which must be recorded whatever they are. */

/** A JSON value. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json }

const MAX_DEPTH = 20
/** How much room each value takes besides its characters: its quotes, colon and comma. */
const COST = 4

/**
 * Makes plain JSON of a value and never throws. Big integers become strings and errors objects; functions and symbols
 * are left out. A value that contains itself, cannot be read or does not fit is replaced by a short note.
 *
 * @param room about how many characters the result may have
 * @returns undefined for a value that JSON leaves out
 */
export function toPlainJson(value: unknown, room: number): Json | undefined {
  return new Copier(room).copy(value)
}

/** Reads a member of an object whose getters may throw. */
export function readMember(object: object, name: string): unknown {
  try {
    return (object as Record<string, unknown>)[name]
  } catch {
    return UNREADABLE
  }
}

/** The longest beginning of a string that takes at most this many bytes as JSON. It never splits a character. */
export function cutToJsonBytes(text: string, bytes: number): string {
  let cut = text.slice(0, bytes)
  for (let size = jsonBytes(cut); size > bytes; size = jsonBytes(cut)) {
    cut = cut.slice(0, Math.min(cut.length - 1, Math.floor((cut.length * bytes) / size)))
  }
  return cut.length < text.length && /[\uD800-\uDBFF]$/.test(cut) ? cut.slice(0, -1) : cut
}

/** How many bytes a value takes as JSON in UTF-8. */
export function jsonBytes(value: Json): number {
  return encoder.encode(JSON.stringify(value)).length
}

const encoder = new TextEncoder()
const [CIRCULAR, UNREADABLE, CUT] = ['[Circular]', '[Unreadable]', '[Truncated]']

class Copier {
  #room: number
  /** The objects that contain the one that is being copied. */
  readonly #around = new Set<object>()

  constructor(room: number) {
    this.#room = room
  }

  copy(value: unknown): Json | undefined {
    this.#room -= COST
    switch (typeof value) {
      case 'string':
        return this.#text(value)
      case 'number':
        return Number.isFinite(value) ? value : null
      case 'bigint':
        return this.#text(String(value))
      case 'boolean':
        return value
      case 'object':
        return value === null ? null : this.#object(value)
      default:
        return undefined
    }
  }

  #text(text: string): string {
    if (this.#room <= 0) return CUT
    const cut = text.length > this.#room ? text.slice(0, this.#room) + CUT : text
    this.#room -= cut.length
    return cut
  }

  #object(value: object): Json | undefined {
    if (this.#around.has(value)) return CIRCULAR
    if (this.#room <= 0 || this.#around.size >= MAX_DEPTH) return CUT
    this.#around.add(value)
    try {
      const toJson = readMember(value, 'toJSON')
      if (typeof toJson === 'function') return this.copy(toJson.call(value))
      return Array.isArray(value) ? this.#list(value) : this.#members(value)
    } catch {
      return UNREADABLE
    } finally {
      this.#around.delete(value)
    }
  }

  #list(values: readonly unknown[]): Json {
    const list: Json[] = []
    for (const value of values) {
      if (this.#room <= 0) return [...list, CUT]
      list.push(this.copy(value) ?? null)
    }
    return list
  }

  #members(object: object): Json {
    const copy: Record<string, Json> = {}
    for (const name of namesOf(object)) {
      if (this.#room <= 0) break
      this.#room -= name.length
      const value = this.copy(readMember(object, name))
      // Not an assignment: "__proto__" would set the prototype.
      if (value !== undefined) Object.defineProperty(copy, name, { value, enumerable: true })
    }
    return copy
  }
}

/** The names of the members of an object. For an error, also of those that are not enumerable. */
function namesOf(object: object): Iterable<string> {
  const names = Object.keys(object)
  if (!(object instanceof Error)) return names
  const hidden = ['name', 'message', 'stack', 'cause'].filter(name => readMember(object, name) !== undefined)
  return new Set([...hidden, ...names])
}
