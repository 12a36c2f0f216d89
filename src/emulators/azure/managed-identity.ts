/**
 * The managed identity of a container: a plain HTTP endpoint on the loopback that gives tokens to programs that know the
 * header's secret, as Container Apps and App Service have it (`IDENTITY_ENDPOINT`, `IDENTITY_HEADER`).
 */
import { randomUUID } from 'node:crypto'
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** What a token was given for. */
export interface Grant {
  readonly resource: string
  readonly expiresAt: number
}

const API_VERSION = '2019-08-01'
const LIFETIME_MS = 24 * 3_600_000

export class ManagedIdentity {
  /** What a caller has to send as `X-IDENTITY-HEADER`. */
  readonly secret: string = randomUUID()
  /** How many tokens it was asked for over the wire. */
  requests = 0
  readonly #grants = new Map<string, Grant>()
  readonly #server = http.createServer((request, response) => this.#take(request, response))

  async listen(): Promise<void> {
    await new Promise<void>(resolve => this.#server.listen(0, '127.0.0.1', resolve))
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/msi/token`
  }

  /** A token for a resource, such as `https://management.azure.com`. */
  issue(resource: string): string {
    const token = `emulated.${randomUUID()}`
    this.#grants.set(token, { resource: withoutSlash(resource), expiresAt: Date.now() + LIFETIME_MS })
    return token
  }

  /** Whether a request carries a token that is good for a resource. */
  admits(authorization: string | undefined, resource: string): boolean {
    const grant = this.#grants.get(authorization?.replace(/^Bearer /i, '') ?? '')
    return grant !== undefined && grant.resource === resource && grant.expiresAt > Date.now()
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise(resolve => this.#server.close(resolve))
  }

  #take(request: IncomingMessage, response: ServerResponse): void {
    this.requests++
    const { searchParams, pathname } = new URL(request.url ?? '', 'http://localhost')
    const [status, message] = this.#refusal(request, pathname, searchParams) ?? []
    const body = status === undefined ? this.#grant(searchParams) : { statusCode: status, message }
    response.writeHead(status ?? 200, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  }

  #refusal(
    { method, headers }: IncomingMessage,
    pathname: string,
    parameters: URLSearchParams,
  ): [status: number, message: string] | undefined {
    if (headers['x-identity-header'] !== this.secret) return [401, 'X-IDENTITY-HEADER is wrong.']
    if (method !== 'GET' || pathname !== '/msi/token') return [404, 'There is only GET /msi/token.']
    if (parameters.get('api-version') !== API_VERSION) return [400, `api-version is ${API_VERSION}.`]
    if (!parameters.get('resource')) return [400, 'resource is missing.']
    return undefined
  }

  #grant(parameters: URLSearchParams): object {
    const resource = parameters.get('resource') ?? ''
    const clientId = parameters.get('client_id')
    return {
      access_token: this.issue(resource),
      expires_on: String(Math.floor((Date.now() + LIFETIME_MS) / 1000)),
      // The SDK keeps no token of another resource than it has asked for.
      resource,
      token_type: 'Bearer',
      ...(clientId !== null && { client_id: clientId }),
    }
  }
}

function withoutSlash(resource: string): string {
  return resource.replace(/\/$/, '')
}
