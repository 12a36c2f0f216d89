/**
 * The typed client: what is sent and what comes back have the types of the contract.
 *
 *     const api = client({ orders }, { baseUrl: 'https://api.example.com' })
 *     const order = await api.orders.submit({ customer: 'Contoso', items })
 *     console.log(await order.result())
 */
import type { AnyOperationType, OperationInput } from '../model/operation-type.ts'
import type { Status, StatusDocument } from '../model/protocol.ts'
import type { WebURL } from '../model/web-types.ts'
import { waitError } from './errors.ts'
import { type Contract, createHandle, type OperationHandle, type SavedOperation } from './handle.ts'
import { type Api, type CallOptions, type ClientOptions, createApi, request } from './requests.ts'
import { resolve } from './transport.ts'

/** Operation types by the names that the client gives them. */
export type Contracts = Readonly<Record<string, AnyOperationType>>

/** The operation types of an API, to be used. */
export type Client<T extends Contracts> = { readonly [Name in keyof T]: TypeClient<T[Name]> }

/** How to submit. */
export interface SubmitOptions extends CallOptions {
  /**
   * Submits with equal keys are one operation: give one that outlives the page, and a reload
   * cannot submit twice. 1 to 255 printable ASCII characters. Default: a random one.
   */
  readonly idempotencyKey?: string | undefined
  /** Seconds that the server may hold its answer so that it is the outcome already. Default 0. */
  readonly wait?: number | undefined
  /** Where the end is told to, if the type allows webhooks. */
  readonly webhookUrl?: string | undefined
}

/** What to list. */
export interface ListOptions extends CallOptions {
  /** Only operations of this status. */
  readonly status?: Status | undefined
  /** How many are asked for at once, 1 to 200. Default 50. */
  readonly pageSize?: number | undefined
}

/** The operations of one type. */
export interface TypeClient<T> {
  /**
   * Submits, and resolves when the operation is accepted: it cannot get lost any more. The request is
   * repeated where it fails (network, 408, 425, 429, 5xx), which is safe: it carries an idempotency key.
   *
   * @throws WaitError `refused`: see `problem`; `unreachable`: after five repeats, or where the server asks
   *   for more than a minute's patience
   */
  submit(input: OperationInput<T>, options?: SubmitOptions): Promise<OperationHandle<T>>
  /**
   * A handle of an operation that was submitted before, or elsewhere. Sends nothing.
   *
   * @param target what a handle's JSON holds, a status document, an id, or a status URL
   * @throws {TypeError} it is not about an operation of this type
   */
  attach(target: string | WebURL | SavedOperation | StatusDocument): OperationHandle<T>
  /** The caller's own operations, newest first, page after page, where the API lists them. */
  list(options?: ListOptions): AsyncGenerator<StatusDocument, void, undefined>
}

/**
 * Creates a typed client of an API from its operation types.
 *
 * @param types by the names that the client is to give them. Where the contract is not to be bundled, its
 *   types are enough: `client<typeof contract>({ orders: { name: 'orders', resultKey: 'order' } })`
 * @throws {TypeError} when `baseUrl` is no URL. One that is relative to a page may be given where there is none, as where a
 *   server renders the page: requests, and `attach`, are refused there.
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

function createTypeClient<T>(api: Api, type: Contract): TypeClient<T> {
  const rootOf = () => api.base + type.name
  return {
    async submit(input, { idempotencyKey = randomKey(), wait, webhookUrl, signal } = {}) {
      const root = rootOf()
      const headers = {
        'content-type': 'application/json',
        // A structured-field string (RFC 9651) is escaped as JSON is.
        'idempotency-key': JSON.stringify(idempotencyKey),
        ...(wait && { prefer: `wait=${wait}` }),
        ...(webhookUrl && { 'webhook-url': webhookUrl }),
      }
      const answer = await request(api, root, { method: 'POST', headers, body: JSON.stringify(input ?? null), signal })
      const { response, body, outcome } = answer
      const location = response.headers.get('location') ?? body.links?.status
      if (response.status === 202 && location) return createHandle(api, type, resolve(location, root))
      const resultUrl = response.headers.get('content-location')
      // What is no JSON can be read only once: whoever wants it asks for it.
      const isMedia = response.ok && resultUrl && response === answer.value
      if (isMedia || (outcome && body.id)) {
        await response.body?.cancel()
        const result = resolve(resultUrl ?? `${root}/${body.id}`, root)
        return createHandle(api, type, result.replace(/[^/]*$/, 'status/$&'), !isMedia && answer)
      }
      throw waitError(response.ok ? 'no-location' : 'refused', root, '', answer)
    },
    attach(target) {
      const root = rootOf()
      const known = typeof target === 'string' || target instanceof URL ? `${target}` : urlOf(target)
      const url = resolve(known.includes('/') ? known : `${root}/status/${encodeURIComponent(known)}`, root)
      // Also what the page's address brought in must not lead to another resource of the API.
      if (!new RegExp(`/${type.name}/status/[^/]+$`).test(new URL(url).pathname)) {
        throw new TypeError(`This is not the status URL of one of the ${type.name}: ${url}`)
      }
      return createHandle(api, type, url)
    },
    async *list({ status, pageSize, signal } = {}) {
      const first = new URL(rootOf())
      first.search = `${new URLSearchParams({ ...(status && { status }), ...(pageSize && { limit: `${pageSize}` }) })}`
      let url: string | undefined = first.href
      while (url) {
        const answer = await request(api, url, { signal })
        if (!answer.response.ok) throw waitError('refused', url, '', answer)
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

/** 128 random bits; `crypto.randomUUID` is not there in pages without TLS. */
function randomKey(): string {
  return [...crypto.getRandomValues(new Uint32Array(4))].join('-')
}
