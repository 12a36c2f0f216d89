/** The ids of new operations. */
import { v7 as uuidv7 } from 'uuid'

/**
 * Makes a UUID version 7 (RFC 9562) whose 74 bits beside the time are all random. It contains no counter, so an id
 * reveals nothing about other ids of the same millisecond.
 */
export function newId(): string {
  const random = randomBytes()
  const [a = 0, b = 0, c = 0, d = 0] = random
  return uuidv7({ random, seq: ((a << 24) | (b << 16) | (c << 8) | d) >>> 0 })
}

/** Random bytes for many ids at once: each read is a system call, which takes longer than all other work for an id. */
const pool = new Uint8Array(16 * 256)
let drawn = pool.length

function randomBytes(): Uint8Array {
  if (drawn === pool.length) {
    crypto.getRandomValues(pool)
    drawn = 0
  }
  drawn += 16
  return pool.subarray(drawn - 16, drawn)
}
