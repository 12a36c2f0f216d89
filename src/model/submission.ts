/** What a store accepts as a new operation. */

/** Everything that a store needs to accept an operation. */
export interface Submission {
  readonly id: string
  readonly type: string
  readonly owner: string
  readonly priority: number
  /** The input as JSON text. */
  readonly input: string
  readonly maxAttempts: number
  readonly maxLost: number
  readonly retention: number
  /** Milliseconds from the acceptance, or from the end of its delay, within which the first attempt must begin. */
  readonly startWithin: number | null
  /** Milliseconds from the acceptance, or from the end of its delay, within which it must end. Default: forever. */
  readonly endWithin?: number | null | undefined
  /** Milliseconds from the acceptance before which no attempt begins; 0 for at once. */
  readonly delay: number
  readonly idempotencyKey: string | null
  readonly fingerprint: string | null
  readonly traceparent: string | null
  readonly webhookUrl: string | null
  /** Default: none. */
  readonly limits?: SubmissionLimits | undefined
  /** Default: none. */
  readonly tags?: Tags | null
  /** The operation whose handler submits this one. Default: none. */
  readonly parent?: string | null
  /** The operation that this one runs again. Default: none. */
  readonly retryOf?: string | null
  /** Steps that count as recorded from the beginning: names and their JSON. Default: none. */
  readonly steps?: readonly (readonly [name: string, value: string])[]
}

/** Names and values of an operation: at most 8, with names of 1 to 32 characters and values of at most 128. */
export type Tags = Readonly<Record<string, string>>

/** What must not be exceeded for a submission to be accepted, each 1 to 10,000. A limit that is left out does not exist. */
export interface SubmissionLimits {
  /** The most unfinished operations of its type and owner. */
  readonly inFlight?: number | undefined
  /** The most ready operations of its type, of all owners. */
  readonly backlog?: number | undefined
}
