/**
 * The typed client: inputs and outputs have the types of the contract.
 *
 *     const api = client({ orders }, { baseUrl: 'https://api.example.com' })
 *     const order = await api.orders.submit({ customer: 'Contoso', items })
 *     console.log(await order.result())
 */
import type { AnyOperationType, OperationInput, OperationOutput } from '../model/operation-type.ts'
import type { Status, StatusDocument } from '../model/protocol.ts'
import type { WebURL } from '../model/web-types.ts'
import { waitError } from './errors.ts'
import { type Contract, createHandle, type OperationHandle, type SavedOperation } from './handle.ts'
import { type Api, type CallOptions, type ClientOptions, createApi, request } from './requests.ts'
import { resolve } from './transport.ts'

/** Operation types by the names that the client gives them. */
export type Contracts = Readonly<Record<string, AnyOperationType>>

/** A client of the operation types of an API. */
export type Client<T extends Contracts> = {
  readonly [Name in keyof T]: TypeClient<OperationInput<T[Name]>, OperationOutput<T[Name]>>
}

/** How to submit. */
export interface SubmitOptions extends CallOptions {
  /**
   * Submits with equal keys create one operation. With a key that outlives the page, a reload cannot submit twice. 1 to
   * 255 printable ASCII characters. Default: a random key.
   */
  readonly idempotencyKey?: string | undefined
  /**
   * How long the server may hold its answer so that it is the outcome already, in milliseconds, rounded up to whole
   * seconds. Default 0.
   */
  readonly waitTimeout?: number | undefined
  /** The URL to notify of the end, if the operation type allows webhooks. */
  readonly webhookUrl?: string | undefined
  /**
   * The time before which the work does not begin: at most a year ahead, else the server refuses the request. Default, and
   * for a time that has passed: as soon as possible.
   */
  readonly notBefore?: Date | undefined
}

/** What to list. */
export interface ListOptions extends CallOptions {
  /** Only operations with this status. */
  readonly status?: Status | undefined
  /** How many operations one request asks for, 1 to 200. Default 50. */
  readonly pageSize?: number | undefined
}

/** A client of one operation type. */
export interface TypeClient<Input = unknown, Output = unknown> {
  /**
   * Submits an operation, and resolves when it is accepted and so cannot be lost. A request that fails (network, 408,
   * 425, 429, 5xx) is repeated. That is safe: it carries an idempotency key.
   *
   * @throws WaitError `refused`: see `problem`; `unreachable`: after five retries, or if the server asks for a delay of
   *   more than a minute
   * @throws {RangeError} `notBefore` is an invalid date
   */
  submit(input: Input, options?: SubmitOptions): Promise<OperationHandle<Output>>
  /**
   * Creates a handle of an operation that was submitted before, or elsewhere. Sends nothing.
   *
   * @param target the JSON of a handle, a status document, an id, or a status URL
   * @throws {TypeError} if it is not an operation of this type
   */
  attach(target: string | WebURL | SavedOperation | StatusDocument): OperationHandle<Output>
  /** Iterates over the caller's own operations, newest first, page after page, if the API lists them. */
  list(options?: ListOptions): AsyncGenerator<StatusDocument, void, undefined>
}

/**
 * Creates a typed client of an API from its operation types.
 *
 * @param types the operation types, by the names that the client is to give them. To bundle no contract, give its types
 *   alone: `client<typeof contract>({ orders: { name: 'orders', resultKey: 'order' } })`
 * @throws {TypeError} if `baseUrl` is not a URL. A relative one may be given where there is no page, as on a server that
 *   renders the page: requests, and `attach`, are refused there
 * @example
 * import { client } from 'waybill/client'
 * import { orders } from './orders.ts'
 *
 * const api = client({ orders }, { baseUrl: 'https://api.example.com' })
 * const order = await api.orders.submit({ customer: 'Contoso', items: [{ name: 'Apple', quantity: 5 }] })
 * const { customer } = await order.result()
 * console.log(customer) // Contoso
 */
export function client<T extends Contracts>(
  types: T | { readonly [Name in keyof T]: Pick<T[Name], 'name' | 'resultKey'> },
  options: ClientOptions = {},
): Client<T> {
  const api = createApi(options)
  const entries = Object.entries(types).map(([name, type]) => [name, createTypeClient(api, type)])
  return Object.fromEntries(entries)
}

function createTypeClient(api: Api, type: Contract): TypeClient {
  const rootOf = () => api.base + type.name
  return {
    async submit(input, { idempotencyKey = randomKey(), waitTimeout = 0, webhookUrl, notBefore, signal } = {}) {
      const root = rootOf()
      const headers = {
        'content-type': 'application/json',
        // A structured-field string (RFC 9651) is escaped as JSON is.
        'idempotency-key': JSON.stringify(idempotencyKey),
        ...(waitTimeout && { prefer: `wait=${Math.ceil(waitTimeout / 1000)}` }),
        ...(webhookUrl && { 'webhook-url': webhookUrl }),
        ...(notBefore && { 'not-before': notBefore.toISOString() }),
      }
      const answer = await request(api, root, { method: 'POST', headers, body: JSON.stringify(input ?? null), signal })
      const { response, body, outcome } = answer
      const location = response.headers.get('location') ?? body.links?.status
      if (response.status === 202 && location) return createHandle(api, type, resolve(location, root))
      const resultUrl = response.headers.get('content-location')
      // What is not JSON can be read only once, so `result` requests it.
      const isMedia = response.ok && resultUrl && response === answer.value
      if (isMedia || (outcome && body.id)) {
        if (isMedia) await response.body?.cancel()
        const result = resolve(resultUrl ?? `${root}/${body.id}`, root)
        return createHandle(api, type, result.replace(/[^/]*$/, 'status/$&'), !isMedia && answer)
      }
      throw waitError(response.ok ? 'no-location' : 'refused', '', answer)
    },
    attach(target) {
      const root = rootOf()
      const known = typeof target === 'string' || target instanceof URL ? `${target}` : urlOf(target)
      const url = resolve(known.includes('/') ? known : `${root}/status/${encodeURIComponent(known)}`, root)
      // The target may come from the page's address: it must not lead to another resource of the API.
      if (!new RegExp(`/${type.name}/status/[^/]+$`).test(new URL(url).pathname)) {
        throw new TypeError(`Not a status URL of the operation type "${type.name}": ${url}`)
      }
      return createHandle(api, type, url)
    },
    async *list({ status, pageSize, signal } = {}) {
      const first = new URL(rootOf())
      first.search = `${new URLSearchParams({ ...(status && { status }), ...(pageSize && { limit: `${pageSize}` }) })}`
      let url: string | undefined = first.href
      while (url) {
        const answer = await request(api, url, { signal })
        if (!answer.response.ok) throw waitError('refused', '', answer)
        const { items = [], next } = answer.body as { items?: StatusDocument[]; next?: string }
        yield* items
        url = next && resolve(next, url)
      }
    },
  }
}

function urlOf(target: SavedOperation | StatusDocument): string {
  return 'url' in target ? target.url : target.links.status
}

/** 128 random bits. `crypto.randomUUID` is not available in pages without TLS. */
function randomKey(): string {
  return [...crypto.getRandomValues(new Uint32Array(4))].join('-')
}
