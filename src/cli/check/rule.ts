/** Rules, and their findings. */
import type { Evidence } from './drive.ts'
import type { Exchange } from './exchange.ts'
import { retryAfterOf } from './reading.ts'

/**
 * `pass`; `warn`: what a standard recommends is missing; `fail`: a rule is broken; `skip`: the rule could not be
 * checked.
 */
export type Grade = 'pass' | 'warn' | 'fail' | 'skip'

/** One finding. */
export interface Finding {
  readonly grade: Grade
  readonly says: string
}

/** One rule. */
export interface Rule {
  readonly number: number
  readonly title: string
  /** The standards and guidelines, with their sections. */
  readonly source: string
  readonly grade: (evidence: Evidence) => readonly Finding[]
}

/** A rule and how well the API follows it. */
export interface Graded {
  readonly number: number
  readonly title: string
  readonly source: string
  readonly grade: Grade
  readonly findings: readonly Finding[]
}

export const pass = (says: string): Finding => ({ grade: 'pass', says })
export const warn = (says: string): Finding => ({ grade: 'warn', says })
export const fail = (says: string): Finding => ({ grade: 'fail', says })
export const skip = (says: string): Finding => ({ grade: 'skip', says })

/** How an answer says when to ask again. */
export function gradeRetryAfter(answer: Exchange, name: string): Finding {
  const seconds = retryAfterOf(answer)
  const value = answer.headers.get('retry-after')
  if (seconds === undefined) return warn(`${name} has no Retry-After, so clients guess when to poll again`)
  if (Number.isNaN(seconds)) return fail(`the Retry-After of ${name} is neither whole seconds nor a date: "${value}"`)
  return pass(`${name} has Retry-After: ${value}`)
}
