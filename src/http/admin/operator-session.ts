/** What the console needs to know of itself: who uses it, and what it may show. */
import { packageVersion } from '../../util/version.ts'
import type { HttpRequest } from '../message.ts'
import type { OperatorIdentity, Role } from '../role.ts'
import { tokenOf } from './changes.ts'
import type { AdminViewOptions } from './operator-identity.ts'

/** The answer of `GET /admin/session`. */
export interface Session extends Pick<AdminViewOptions, 'traceUrl' | 'executionUrl'> {
  readonly actor: string
  readonly role: Role
  readonly payloads: boolean
  /** What changes carry. */
  readonly token: string
  readonly version: string
}

/** Describes the session of a request. */
export function session(
  request: HttpRequest,
  operator: OperatorIdentity,
  { traceUrl, executionUrl }: AdminViewOptions,
): Session {
  const { name, role, payloads } = operator
  const token = tokenOf(request, operator)
  return { actor: name, role, payloads, token, version: packageVersion(), traceUrl, executionUrl }
}
