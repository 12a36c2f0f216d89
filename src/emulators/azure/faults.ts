/** What can be made to go wrong, request by request. */

/** What a request asks for. */
export type ArmRequestKind = 'job' | 'start' | 'executions' | 'execution' | 'stop' | 'poll' | 'unknown'

/** One request as it came. */
export interface ArmRequest {
  readonly kind: ArmRequestKind
  /** When it came, in milliseconds by the monotonic clock of this process. */
  readonly at: number
  readonly method: string
  /** Path and query. */
  readonly url: string
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: string
  /** The operation that a start is for, where its environment says. */
  readonly operationId: string | undefined
  /** How it was answered: a status; 0 where the connection was cut or left without an answer. */
  status: number
}

/** How the server departs from what is right. */
export interface Fault {
  /** How often it acts. Default: not at all where `answer` is given, else once. Not at all and no `answer`: it only says that it has. */
  readonly acts?: 0 | 1 | 2
  /** What it answers instead: a cut connection, nothing at all, or a status. */
  readonly answer?:
    | 'cut'
    | 'silence'
    | { readonly status: number; readonly code?: string; readonly headers?: Readonly<Record<string, string>> }
}

/** Chooses the fault of a request, or none. */
export type Faults = (request: ArmRequest) => Fault | undefined
