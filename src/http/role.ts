/** The operator of a request, and what it may do. */

/** What an operator may do: only look, or also change. */
export const ROLES = ['viewer', 'operator'] as const
export type Role = (typeof ROLES)[number]

/** The operator of a request. */
export interface OperatorIdentity {
  readonly name: string
  readonly role: Role
  /** Whether payloads are shown. */
  readonly payloads: boolean
  /** Whether it is a user of this machine without a name. */
  readonly isLocal: boolean
}
