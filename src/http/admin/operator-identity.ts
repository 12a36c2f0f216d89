/** Who may use the admin API, and in which role: the option `admin`. A request without an operator is refused. */
import { isIPv4 } from 'node:net'
import { BOOLEAN, type Check, type Checks, checkOptions, FUNCTION, STRING } from '../../model/options.ts'
import { problemError } from '../../model/problem.ts'
import type { Logger } from '../../util/logger.ts'
import type { HttpRequest, HttpResponse } from '../message.ts'
import { refusal, toProblem } from '../principal.ts'
import { type OperatorIdentity, ROLES, type Role } from '../role.ts'

/** What `admin.principal` returns of an operator. */
export interface AdminPrincipal {
  /** Who it is, as the audit names it: 1 to 200 characters. */
  readonly name: string
  /** `viewer` looks; `operator` also cancels, retries, deletes, replays, pauses and resumes. */
  readonly role: Role
  /** Whether inputs, results and the values of steps are shown. Default: to the role `operator`. */
  readonly payloads?: boolean | undefined
}

/** What the admin API and the console show. */
export interface AdminViewOptions {
  /** Whether `/console` serves the console. Default true. */
  readonly console?: boolean | undefined
  /** Where the console links a trace to: a URL with `{traceId}`, and `{spanId}` if wanted. Default: no link. */
  readonly traceUrl?: string | undefined
  /** Where the console links an execution to, such as its logs: a URL with `{execution}`, and `{engine}` if wanted. Default: no link. */
  readonly executionUrl?: string | undefined
}

/** How the admin API and the console are served. */
export interface AdminOptions<Request> extends AdminViewOptions {
  /**
   * Names the operator of a request. Where it returns nothing, the request is refused with 401; what it throws is
   * answered as for `principal` of the API. It is called before the body of the request is read.
   *
   * Without it, only requests from this machine to `localhost` are answered, and only while `NODE_ENV` is not
   * `production`; a warning says so at the start. `fetchHandler` is told where a request comes from by its second argument.
   */
  readonly principal?: ((request: Request) => MaybePrincipal | Promise<MaybePrincipal>) | undefined
  /** What `WWW-Authenticate` says in answers with 401. With `Basic`, browsers ask for a name and a password. Default `Bearer`. */
  readonly challenge?: string | undefined
}

type MaybePrincipal = AdminPrincipal | null | undefined

/** The options of a server for its operators. */
export interface AdminCallerOptions<Request> {
  /** Serves the admin API under `/admin` and the console under `/console`. Default: neither is there. */
  readonly admin?: AdminOptions<Request> | undefined
}

/** What the options of the routes must be. */
export const ADMIN_VIEW_OPTIONS: Checks<AdminViewOptions> = {
  console: BOOLEAN,
  traceUrl: urlWith('{traceId}'),
  executionUrl: urlWith('{execution}'),
}

const ADMIN_OPTIONS: Checks<AdminOptions<never>> = { ...ADMIN_VIEW_OPTIONS, principal: FUNCTION, challenge: STRING }

function urlWith(part: string): Check {
  const test = (value: unknown) => typeof value === 'string' && /^https?:\/\//.test(value) && value.includes(part)
  return { expected: `a URL of http or https that contains ${part}`, test }
}

/** The parts of a request that show where it comes from. */
export interface Origin {
  readonly headers: HttpRequest['headers']
  /** The address of the client, as the socket has it; undefined where the server does not tell. */
  readonly address: string | undefined
}

/** Finds the operator, or gives the response that refuses the request. */
export type IdentifyOperator<Request> = (request: Request) => Promise<OperatorIdentity | HttpResponse>

/**
 * Makes the function that calls `admin.principal`; undefined without the option `admin`.
 *
 * @param originOf gives where a request comes from
 * @throws {TypeError} for an option that cannot be right, or without a principal where one is needed
 */
export function createIdentifyOperator<Request>(
  admin: AdminOptions<Request> | undefined,
  originOf: (request: Request) => Origin,
  logger: Logger,
): IdentifyOperator<Request> | undefined {
  if (admin === undefined) return undefined
  checkOptions('admin', admin, ADMIN_OPTIONS)
  const { principal, challenge = 'Bearer' } = admin
  const name = principal === undefined ? localOnly(originOf, logger) : named(principal, logger)
  return async request => {
    try {
      return await name(request)
    } catch (error) {
      return refusal(toProblem(error, logger), challenge)
    }
  }
}

/** What the routes need of the options of a server. */
export function adminViewOptions({ console, traceUrl, executionUrl }: AdminViewOptions): AdminViewOptions {
  return { console, traceUrl, executionUrl }
}

/** Whether an answer of {@link IdentifyOperator} is an operator. */
export function isOperator(answer: OperatorIdentity | HttpResponse): answer is OperatorIdentity {
  return 'role' in answer
}

type Name<Request> = (request: Request) => Promise<OperatorIdentity>

function named<Request>(principal: NonNullable<AdminOptions<Request>['principal']>, logger: Logger): Name<Request> {
  return async request => {
    const found = await principal(request)
    if (found === null || found === undefined) throw problemError('unauthenticated')
    const { name, role, payloads = role === 'operator' } = found
    if (typeof name === 'string' && name !== '' && name.length <= 200 && ROLES.includes(role)) {
      return { name, role, payloads, isLocal: false }
    }
    logger.warn({ role }, 'admin.principal must return { name, role: "viewer" or "operator" }; the request is refused')
    throw problemError('unauthenticated')
  }
}

function localOnly<Request>(originOf: (request: Request) => Origin, logger: Logger): Name<Request> {
  if (process.env.NODE_ENV === 'production')
    throw new TypeError('admin.principal is required while NODE_ENV is "production".')
  logger.warn({}, 'Everyone on this machine can use the admin API and the console: admin.principal is not set')
  return async request => {
    const origin = originOf(request)
    if (isLocal(origin)) return { name: 'local', role: 'operator', payloads: true, isLocal: true }
    const unknown = origin.address === undefined ? ' This server does not say where a request comes from.' : ''
    const why = `Without admin.principal, only requests from this machine to localhost are answered.${unknown}`
    throw problemError('forbidden', why)
  }
}

/** Headers that proxies add. With one of them, the client may be on any machine. */
const FORWARDED = /^(?:forwarded|via|x-forwarded-.*|x-real-ip|x-client-ip|x-original-.*|true-client-ip|cf-.*)$/

/**
 * Whether the client is on this machine and has used a name of this machine, and not a name that another site bound to
 * its address. Nginx replaces the host and adds no header by default; then the origin that browsers add to a change
 * still has the name that the client used.
 */
function isLocal({ headers, address }: Origin): boolean {
  const host = `${headers.host ?? headers[':authority'] ?? ''}`
  const { origin } = headers
  const isOwnPage = origin === undefined || isLocalName(URL.parse(`${origin}`)?.host ?? '')
  return isLoopback(address) && isLocalName(host) && isOwnPage && !Object.keys(headers).some(it => FORWARDED.test(it))
}

/**
 * Whether the host of a request, with or without its port, is a name of this machine that no name server can assign to
 * another one.
 */
export function isLocalName(host: string): boolean {
  const name = host.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1')
  return /^(?:[\w-]+\.)*localhost$/i.test(name) || isLoopback(name)
}

function isLoopback(address = ''): boolean {
  const plain = address.replace(/^::ffff:/i, '')
  return plain === '::1' || (isIPv4(plain) && plain.startsWith('127.'))
}
