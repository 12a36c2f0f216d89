/**
 * The idempotency key of a child, by which a later attempt finds it again. It contains a character that no key in a
 * request can have.
 */
export function childKey(parent: string, key: string, detached: boolean = false): string {
  return `${detached ? DETACHED : ATTACHED}${parent}${ARROW}${key}`
}

/** The key that the handler of the parent has given to a child with this idempotency key. */
export function keyWithin(parent: string, idempotencyKey: string): string {
  const before = parent + ARROW
  return idempotencyKey.slice(idempotencyKey.indexOf(before) + before.length)
}

/** Whether a child with this idempotency key goes on when its parent is canceled or fails. */
export function isDetachedKey(key: string | null): boolean {
  return key?.startsWith(DETACHED) ?? false
}

const ARROW = ' \u2192 '
const ATTACHED = `child${ARROW}`
const DETACHED = `detached${ARROW}`
