/**
 * The last answers about unfinished operations that are polled. If nothing has changed, an answer is sent again instead
 * of being made again.
 */
import type { Operation } from '../model/operation.ts'
import type { StatusDocument } from '../model/protocol.ts'
import { hash, IdMap } from '../util/id-map.ts'
import { Link } from '../util/ring.ts'
import type { HttpResponse } from './message.ts'

/** An answer, and what it was made from. It is valid for this record and this document only. */
export interface StatusAnswer {
  readonly operation: Operation
  readonly document: StatusDocument
  readonly answer: HttpResponse
}

const MAX_BYTES = 4 * 2 ** 20
/** About what an answer takes in memory besides its body, and besides what the record and the document share with it. */
const BYTES_BESIDE_BODY = 600
/** How many ids are remembered that were asked for once. Two ids of one place displace each other. */
const PLACES = 2 ** 16

/** An answer in the order in which they were made. */
class Kept extends Link {
  readonly id: string
  readonly answer: StatusAnswer | undefined
  readonly bytes: number

  constructor(id = '', answer?: StatusAnswer, bytes = 0) {
    super()
    this.id = id
    this.answer = answer
    this.bytes = bytes
  }
}

/** Keeps answers by the ids of their operations, up to a number of bytes. The oldest ones are dropped first. */
export class StatusAnswers {
  readonly #maxBytes: number
  readonly #kept = new IdMap<Kept>()
  readonly #oldest = new Kept()
  /**
   * The upper half of the hash of an id, at the place that the lower half names. An answer is kept when its operation is
   * asked for again: many are asked for once, and what is kept for them would be garbage in V8's old generation.
   */
  readonly #asked = new Uint16Array(PLACES)
  #bytes = 0

  constructor(maxBytes: number = MAX_BYTES) {
    this.#maxBytes = maxBytes
  }

  /** About how many bytes of memory the answers take. */
  get bytes(): number {
    return this.#bytes
  }

  get(id: string): StatusAnswer | undefined {
    return this.#kept.get(id)?.answer
  }

  /** Keeps an answer instead of an earlier one of the operation. A body that is sent piece by piece is not kept. */
  set(answer: StatusAnswer): void {
    const { id } = answer.operation
    const { body } = answer.answer
    const isFirst = !this.delete(id) && this.#isFirst(id)
    if (isFirst || typeof body !== 'string') return
    const kept = new Kept(id, answer, BYTES_BESIDE_BODY + 2 * body.length)
    this.#bytes += kept.bytes
    this.#kept.set(id, kept)
    kept.join(this.#oldest)
    while (this.#bytes > this.#maxBytes) this.#drop(this.#oldest.after)
  }

  /** Drops the answer of an operation. Returns whether there was one. */
  delete(id: string): boolean {
    const kept = this.#kept.get(id)
    if (kept === undefined) return false
    this.#drop(kept)
    return true
  }

  #drop(kept: Kept): void {
    kept.leave()
    this.#kept.delete(kept.id)
    this.#bytes -= kept.bytes
  }

  #isFirst(id: string): boolean {
    const mixed = hash(id)
    const place = mixed & (PLACES - 1)
    const mark = mixed >>> 16
    if (this.#asked[place] === mark) return false
    this.#asked[place] = mark
    return true
  }
}
