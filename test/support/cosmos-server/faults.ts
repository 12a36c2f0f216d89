/** What goes wrong, on request. */

export type RequestKind =
  | 'account'
  | 'container'
  | 'ranges'
  | 'create'
  | 'read'
  | 'replace'
  | 'patch'
  | 'delete'
  | 'plan'
  | 'query'
  | 'feed'

export interface Fault {
  readonly on: readonly RequestKind[]
  /** Which items. */
  readonly id?: (id: string) => boolean
  /** With what in them. */
  readonly body?: (body: Record<string, unknown>) => boolean
  /** How many requests it befalls. */
  readonly times: number
  readonly how:
    | { readonly status: number; readonly retryAfterMs?: number; readonly substatus?: number }
    /** The connection is cut before the server acts, or after it has. */
    | 'cut-before'
    | 'cut-after'
    /** No answer ever comes; the server has not acted. */
    | 'hang'
}

export class Faults {
  readonly #all: { fault: Fault; left: number }[] = []

  add(fault: Fault): void {
    this.#all.push({ fault, left: fault.times })
  }

  clear(): void {
    this.#all.length = 0
  }

  /** What befalls this request, if anything. */
  next(kind: RequestKind, id: string, sent: string): Fault['how'] | undefined {
    const hit = this.#all.find(
      ({ fault, left }) =>
        left > 0 &&
        fault.on.includes(kind) &&
        (fault.id?.(id) ?? true) &&
        (fault.body?.(JSON.parse(sent) as Record<string, unknown>) ?? true),
    )
    if (hit === undefined) return undefined
    hit.left--
    return hit.fault.how
  }
}
