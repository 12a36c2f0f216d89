/** Removes the parts of a payload that its type hides from operators. */

/** Replaces a hidden value. */
const REDACTED = '[redacted]'

/**
 * Hides the values at JSON Pointers (RFC 6901), in which `*` stands for every member of an object or an array.
 *
 * @param text JSON
 * @returns JSON; the same text if there is nothing to hide
 */
export function redactJson(text: string, pointers: readonly string[]): string {
  if (pointers.length === 0) return text
  const value = pointers.reduce<unknown>((left, pointer) => redact(left, partsOf(pointer)), JSON.parse(text))
  return JSON.stringify(value)
}

function partsOf(pointer: string): string[] {
  return pointer
    .split('/')
    .slice(1)
    .map(part => part.replaceAll('~1', '/').replaceAll('~0', '~'))
}

function redact(value: unknown, [part, ...rest]: readonly string[]): unknown {
  if (part === undefined) return REDACTED
  if (typeof value !== 'object' || value === null) return value
  const hides = (name: string) => part === '*' || name === part
  const members = Object.entries(value).map(([name, member]) => [name, hides(name) ? redact(member, rest) : member])
  return Array.isArray(value) ? members.map(([, member]) => member) : Object.fromEntries(members)
}
