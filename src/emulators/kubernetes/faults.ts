/** What an API server does wrong on request. */

/** The verbs of Kubernetes' authorization. */
export type Verb = 'create' | 'get' | 'list' | 'watch' | 'delete'

/** One fault, which meets the next requests of its verb. */
export interface KubernetesFault {
  /** Default: any. */
  readonly verb?: Verb
  /** How many requests it meets. Default 1. */
  readonly times?: number
  /** Before anything is done, or after all is done and only the answer is missing. Default `before`. */
  readonly when?: 'before' | 'after'
  /** An HTTP status; `cut` closes the connection, `hang` never answers, and `html` answers as a proxy would, with a 502. */
  readonly answer: number | 'cut' | 'hang' | 'html'
  /** The reason in the `Status` object, such as `Conflict`. */
  readonly reason?: string
  readonly message?: string
  /** Seconds, for the header `Retry-After`. */
  readonly retryAfter?: number
}

/** The faults that are still to come, in order. */
export class Faults {
  readonly #pending: { fault: KubernetesFault; left: number }[] = []

  add(fault: KubernetesFault): void {
    this.#pending.push({ fault, left: fault.times ?? 1 })
  }

  clear(): void {
    this.#pending.length = 0
  }

  /** The fault that a request meets. */
  take(verb: Verb): KubernetesFault | undefined {
    const index = this.#pending.findIndex(({ fault }) => fault.verb === undefined || fault.verb === verb)
    const found = this.#pending[index]
    if (found === undefined) return undefined
    if (--found.left <= 0) this.#pending.splice(index, 1)
    return found.fault
  }
}
