/** The operator of a request, and what it may do. */

/** What an operator may do: look, or also change. */
export const ROLES = ['viewer', 'operator'] as const
export type Role = (typeof ROLES)[number]

/** The operator of a request. */
export interface OperatorIdentity {
  readonly name: string
  readonly role: Role
  /** Whether payloads are shown. */
  readonly payloads: boolean
  /** Whether it is someone on this machine, whom nobody has named. */
  readonly isLocal: boolean
}
