/**
 * The contract of a scenario: what is measured, against what, and how far apart the two may be.
 * `scenarios/` holds the implementations.
 */
import type { Bench } from './bench.ts'

/** What one round has measured: the measure's name, with its unit, to its value. */
export type Sample = Readonly<Record<string, number>>

/** Two measures of the same round, one divided by the other. */
export interface Ratio {
  readonly name: string
  readonly of: string
  readonly to: string
  readonly atLeast?: number
  readonly atMost?: number
}

/** A scenario. */
export interface Scenario {
  readonly name: string
  readonly about: string
  readonly ratios: readonly Ratio[]
  /** Starts what is to be measured, and gives one round of measuring, which is called again and again. */
  prepare(bench: Bench): Promise<() => Promise<Sample>>
}
