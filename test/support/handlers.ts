/** One operation type whose input says what its handler does, attempt by attempt, so that one handler file serves every test. */
import { defineOperation, type OperationTypeOptions } from 'waybill'

/** What one attempt does. */
export type Act =
  | { readonly do: 'return'; readonly value?: unknown }
  /** Returns the id of its process. */
  | { readonly do: 'pid' }
  | { readonly do: 'throw'; readonly message: string }
  /** Ends its process with an exit code. */
  | { readonly do: 'exit'; readonly code: number }
  /** Ends its process with a signal. */
  | { readonly do: 'die'; readonly signal: 'SIGKILL' | 'SIGABRT' }
  /** Takes all the memory there is. */
  | { readonly do: 'fill' }
  /** Blocks its process for this many milliseconds, as a long computation does, and returns. */
  | { readonly do: 'block'; readonly ms: number }
  /** Waits until there is such a file, whatever it is told, and returns. */
  | { readonly do: 'await-file'; readonly file: string }
  /** Notes `began` in the log, records a step, waits for the event `go`, and returns its value with the outcome of the step. */
  | { readonly do: 'await-event' }
  /** Waits to be told to stop, notes the reason's name in the log, and throws it. */
  | { readonly do: 'wait' }
  /** Waits to be told to stop, and returns after this many more milliseconds. */
  | { readonly do: 'linger'; readonly ms: number }
  /** Never ends, whatever it is told. */
  | { readonly do: 'ignore' }
  /** Records the step `count` by noting `ran` in the log, twice at the same time, and returns both outcomes. */
  | { readonly do: 'step' }
  /** Reports progress in many calls, and waits to be told to stop. */
  | { readonly do: 'progress' }
  | { readonly do: 'chatter' }
  /** Returns at once, and goes on writing to its job afterwards. */
  | { readonly do: 'haunt' }
  /** Starts a program, notes `started` and its process id in the log, and never ends. */
  | { readonly do: 'start-program' }
  /** Returns, and leaves code behind that ends the process when a later attempt in it has the act `trip`. */
  | { readonly do: 'leave'; readonly what: Ending }
  /** Sets off what an earlier attempt in its process has left behind, and never ends. */
  | { readonly do: 'trip' }
  /** Ends its process from a timer of its own. */
  | { readonly do: 'end-later'; readonly what: Ending }
  /** Sends messages over the channel of its process by itself, and returns. */
  | { readonly do: 'send'; readonly messages: readonly unknown[] }
  /** Writes to standard error, each piece after the last one has been taken, and returns. */
  | { readonly do: 'flood'; readonly mib: number }

/** How code ends its process. */
export type Ending = 'throw' | 'reject' | 'exit'

/** The acts of the attempts, in order; the last one is repeated. */
export interface Play {
  readonly acts: readonly Act[]
}

/** A type named `plays`, which the handlers of `fixtures/handlers/plays.ts` serve, with a policy for the test. */
export function plays(policy: Omit<OperationTypeOptions<'plays', unknown, unknown, 'result'>, 'name'> = {}) {
  return defineOperation({ name: 'plays', backoff: { initial: 20 }, ...policy })
}

/** The input for some acts. */
export function play(...acts: Act[]): Play {
  return { acts }
}

/** A handler file by its name. */
export function handlerFile(name: string): URL {
  return new URL(`../fixtures/handlers/${name}.ts`, import.meta.url)
}
