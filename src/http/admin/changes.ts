/** What a change through the admin API must show: the role, that it comes from a page of this origin, and the token of its session. */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { problemError } from '../../model/problem.ts'
import { type HttpRequest, header } from '../message.ts'
import type { OperatorIdentity } from '../role.ts'

/** An operator without a name, on this machine, has no credentials to derive a token from. */
const LOCAL_SECRET = randomBytes(32)

/**
 * The token of a session. It is derived from the credentials of the request, which a page of another site cannot read.
 * Every replica can derive it, and none has to store it.
 */
export function tokenOf(request: Pick<HttpRequest, 'headers'>, { name, isLocal }: OperatorIdentity): string {
  const credentials = ['authorization', 'cookie'].map(it => header(request, it) ?? '').join('\n')
  const key = isLocal ? LOCAL_SECRET : credentials
  return createHmac('sha256', key).update(`waybill admin\n${name}`).digest('base64url')
}

/**
 * Lets a change pass.
 *
 * @throws {ProblemError} `forbidden`, `cross-origin` or `admin-token-invalid`
 */
export function assertMayChange(request: HttpRequest, operator: OperatorIdentity): void {
  if (operator.role !== 'operator') throw problemError('forbidden', 'The role "viewer" may only look.')
  if (!isSameOrigin(request)) throw problemError('cross-origin')
  const [given, expected] = [header(request, 'waybill-token') ?? '', tokenOf(request, operator)].map(it =>
    Buffer.from(it),
  )
  if (
    given === undefined ||
    expected === undefined ||
    given.length !== expected.length ||
    !timingSafeEqual(given, expected)
  ) {
    throw problemError('admin-token-invalid')
  }
}

/** Programs that are not browsers send neither of the two headers. */
function isSameOrigin(request: Pick<HttpRequest, 'headers'>): boolean {
  const site = header(request, 'sec-fetch-site')
  if (site !== undefined) return site === 'same-origin'
  const origin = header(request, 'origin')
  const host = header(request, 'host') ?? header(request, ':authority')
  return origin === undefined || URL.parse(origin)?.host === host
}
