/** The faults that can be injected, request by request. */

/** The kinds of requests. */
export type ArmRequestKind = 'job' | 'start' | 'executions' | 'execution' | 'stop' | 'poll' | 'unknown'

/** One request as it was received. */
export interface ArmRequest {
  readonly kind: ArmRequestKind
  /** When it came, in milliseconds by the monotonic clock of this process. */
  readonly at: number
  readonly method: string
  /** Path and query. */
  readonly url: string
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: string
  /** The operation of a start, if its environment names one. */
  readonly operationId: string | undefined
  /** How it was answered: a status; 0 where the connection was cut or left without an answer. */
  status: number
}

/** The fault of a response. */
export interface Fault {
  /**
   * How often the request takes effect. Default: never if `answer` is given, else once. Never and without `answer`: the
   * response only claims that it took effect.
   */
  readonly acts?: 0 | 1 | 2
  /** The answer instead: a cut connection, no answer, or a status. */
  readonly answer?:
    | 'cut'
    | 'silence'
    | { readonly status: number; readonly code?: string; readonly headers?: Readonly<Record<string, string>> }
}

/** Chooses the fault of a request, or none. */
export type Faults = (request: ArmRequest) => Fault | undefined
