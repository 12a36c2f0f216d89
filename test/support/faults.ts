/** Calls of a store, or of a blob store, that fail once. */
import type { Duration } from '../../src/model/duration.ts'
import type { Change } from '../../src/model/operation.ts'

export const FAULTS = ['fails before it writes', 'fails after it has written', 'never answers', 'throws'] as const
export type Fault = (typeof FAULTS)[number]

export type Given = readonly unknown[]

/** How long a call that never answers is waited for, in milliseconds. */
export const FAULT_LIMIT_MS = 200

/** The `storeTimeout` with which a test of a fault ends soon. */
export function timeoutFor(fault: Fault): Duration {
  return fault === 'never answers' ? FAULT_LIMIT_MS : '1h'
}

/** The calls of `change` with a change of this kind. */
export function changesOf(kind: Change['kind']): (given: Given) => boolean {
  return given => (given[1] as Change).kind === kind
}

/** Makes one call fail, once. */
export class Faults {
  #armed: { method: string; fits: (given: Given) => boolean; fault: Fault } | undefined
  #slowestMs = 0

  get isArmed(): boolean {
    return this.#armed !== undefined
  }

  /** How long the slowest call without a fault has taken, in milliseconds. */
  get slowestMs(): number {
    return this.#slowestMs
  }

  arm(method: string, fault: Fault, fits: (given: Given) => boolean = () => true): void {
    this.#armed = { method, fits, fault }
  }

  /** The same, with the faults. */
  of<Part extends object>(real: Part): Part {
    return new Proxy(real, {
      get: (target, name) => {
        const method = Reflect.get(target, name) as ((...given: Given) => unknown) | undefined
        if (typeof method !== 'function') return method
        return (...given: Given) => {
          const call = () => method.apply(target, [...given])
          const armed = this.#armed
          if (armed?.method !== name || !armed.fits(given)) return this.#timed(call())
          this.#armed = undefined
          return misbehave(armed.fault, call)
        }
      },
    })
  }

  #timed(answer: unknown): unknown {
    if (!(answer instanceof Promise)) return answer
    const began = performance.now()
    return answer.finally(() => {
      this.#slowestMs = Math.max(this.#slowestMs, performance.now() - began)
    })
  }
}

function misbehave(fault: Fault, call: () => unknown): unknown {
  if (fault === 'throws') throw new Error('It throws.')
  if (fault === 'never answers') return new Promise(() => {})
  if (fault === 'fails before it writes') return Promise.reject(new Error('It is away.'))
  return Promise.resolve(call()).then(() => {
    throw new Error('Its answer is lost.')
  })
}
