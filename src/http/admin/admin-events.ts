/** The event stream of the admin API: hints that something has changed, at most two a second. */
import { setTimeout as pause } from 'node:timers/promises'
import { problem } from '../../model/problem.ts'
import type { Waybill } from '../../waybill.ts'
import { eventStreamResponse, type HttpRequest, type HttpResponse, problemResponse } from '../message.ts'

/** How many streams a process holds. */
const MAX_STREAMS = 100
/** The time between two looks, in milliseconds: many changes within it are one hint. */
const PACE_MS = 500
/** The longest time between two messages, in milliseconds, so that proxies keep the stream open. */
const HEARTBEAT_MS = 15_000

/** The streams of one API. */
export class AdminEvents {
  readonly #waybill: Waybill
  #count = 0

  constructor(waybill: Waybill) {
    this.#waybill = waybill
  }

  /** GET /admin/events */
  open({ method, signal }: HttpRequest): HttpResponse {
    if (this.#count >= MAX_STREAMS) return problemResponse(problem('too-many-requests'), { 'Retry-After': '5' })
    return eventStreamResponse(method === 'HEAD' ? null : this.#hints(signal))
  }

  async *#hints(signal: AbortSignal): AsyncGenerator<string> {
    const { store } = this.#waybill
    const seen = { hasChanged: false }
    const unwatch = store.watch(() => {
      seen.hasChanged = true
    })
    this.#count++
    try {
      yield 'retry: 1000\n\nevent: hello\ndata: {}\n\n'
      yield* this.#changes(seen, signal)
    } finally {
      this.#count--
      unwatch()
    }
  }

  async *#changes(seen: { hasChanged: boolean }, signal: AbortSignal): AsyncGenerator<string> {
    for (let quiet = 0; ; quiet += PACE_MS) {
      await pause(PACE_MS, undefined, { signal }).catch(() => {})
      if (signal.aborted || this.#waybill.operations.draining) return
      if (!seen.hasChanged && quiet < HEARTBEAT_MS) continue
      yield seen.hasChanged ? 'event: changed\ndata: {}\n\n' : ': waiting\n\n'
      seen.hasChanged = false
      quiet = 0
    }
  }
}
