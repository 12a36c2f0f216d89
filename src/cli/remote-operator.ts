/** An operator's service that uses the admin API of a base URL. */
import { type Duration, durationMs } from '../model/duration.ts'
import { ProblemError } from '../model/problem.ts'
import type { Problem } from '../model/protocol.ts'
import { formatFilter } from '../operator/filter.ts'
import type { Operator, PageRequest } from '../operator/operator.ts'
import type {
  BulkAction,
  BulkPreview,
  BulkRun,
  OperationDetail,
  OperationView,
  OperatorPage,
  Statistics,
} from '../operator/views.ts'
import type { EventRequest } from '../service/events.ts'
import type { RetryOptions } from '../service/retries.ts'
import type { LogLine, OperatorFilter } from '../stores/store.ts'
import type { Delivery } from '../webhooks/history.ts'

/** The part of the operator's service that the admin API offers. */
type RemoteDesk = Pick<
  Operator,
  | ('browse' | 'get' | 'input' | 'output' | 'log' | 'cancel' | 'retry' | 'delete' | 'sendEvent')
  | ('replay' | 'pause' | 'resume' | 'preview' | 'bulk' | 'bulkRun' | 'statistics' | 'audit')
>

type Headers = Readonly<Record<string, string>>

/** Sends the acts of an operator as requests. The API identifies the actor by the headers. */
export class RemoteOperator implements RemoteDesk {
  readonly #base: string
  readonly #headers: Headers
  #token: string | undefined

  /** @param base the URL under which the API is mounted */
  constructor(base: string, headers: Headers) {
    this.#base = `${base.replace(/\/+$/, '')}/admin`
    this.#headers = headers
  }

  async browse(filter: OperatorFilter, page: PageRequest = {}): Promise<OperatorPage> {
    const query = pageQuery(page)
    query.set('filter', formatFilter(filter))
    return await this.#get(`/operations?${query}`)
  }

  async get(id: string): Promise<OperationDetail | undefined> {
    return await this.#find(`/operations/${id}`)
  }

  async input(id: string): Promise<string | undefined> {
    return textOf(await this.#find(`/operations/${id}/input`))
  }

  async output(id: string): Promise<string | undefined> {
    return textOf(await this.#find(`/operations/${id}/result`))
  }

  async log(id: string, after = 0): Promise<readonly LogLine[]> {
    const { items } = await this.#get<{ readonly items: readonly LogLine[] }>(`/operations/${id}/log?after=${after}`)
    return items
  }

  async cancel(id: string): Promise<OperationView> {
    return await this.#change('POST', `/operations/${id}/cancel`)
  }

  async retry(id: string, _: unknown, { fresh = false }: RetryOptions = {}): Promise<OperationView> {
    return await this.#change('POST', `/operations/${id}/retry`, { fresh })
  }

  async delete(id: string): Promise<void> {
    await this.#change('DELETE', `/operations/${id}`)
  }

  async sendEvent(id: string, { name, value }: EventRequest): Promise<OperationView> {
    const path = `/operations/${id}/events/${encodeURIComponent(name)}`
    return await this.#change('POST', path, value)
  }

  async replay(id: string): Promise<Delivery> {
    return await this.#change('POST', `/deliveries/${id}/replay`)
  }

  async pause(type: string): Promise<void> {
    await this.#change('POST', `/types/${encodeURIComponent(type)}/pause`)
  }

  async resume(type: string): Promise<void> {
    await this.#change('POST', `/types/${encodeURIComponent(type)}/resume`)
  }

  async preview(action: BulkAction, filter: OperatorFilter): Promise<BulkPreview> {
    return await this.#change('POST', '/bulk/preview', { action, filter: formatFilter(filter) })
  }

  async bulk(action: BulkAction, filter: OperatorFilter): Promise<BulkRun> {
    return await this.#change('POST', '/bulk', { action, filter: formatFilter(filter) })
  }

  async bulkRun(id: string): Promise<BulkRun | undefined> {
    return await this.#find(`/bulk/${id}`)
  }

  async statistics({ window = '1h' }: { readonly window?: Duration | undefined } = {}): Promise<Statistics> {
    return await this.#get(`/statistics?window=${durationMs('window', window)}ms`)
  }

  async audit(page: PageRequest = {}): ReturnType<Operator['audit']> {
    return await this.#get(`/audit?${pageQuery(page)}`)
  }

  async #get<Answer>(path: string): Promise<Answer> {
    return await this.#send('GET', path, {})
  }

  /** The same; undefined for a 404. */
  async #find<Answer>(path: string): Promise<Answer | undefined> {
    try {
      return await this.#get(path)
    } catch (error) {
      if (error instanceof ProblemError && error.problem.status === 404) return undefined
      throw error
    }
  }

  async #change<Answer>(method: string, path: string, body?: unknown): Promise<Answer> {
    this.#token ??= (await this.#get<{ readonly token: string }>('/session')).token
    return await this.#send(method, path, { 'waybill-token': this.#token }, body)
  }

  async #send<Answer>(method: string, path: string, headers: Headers, body?: unknown): Promise<Answer> {
    const response = await fetch(this.#base + path, {
      method,
      headers: {
        accept: 'application/json',
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...this.#headers,
        ...headers,
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    if (!response.ok) throw problemOf(response, text)
    return (text === '' ? undefined : JSON.parse(text)) as Answer
  }
}

function pageQuery({ after, limit }: PageRequest): URLSearchParams {
  const query = new URLSearchParams()
  if (after !== undefined) query.set('after', after)
  if (limit !== undefined) query.set('limit', String(limit))
  return query
}

function textOf(value: unknown): string | undefined {
  return value === undefined ? undefined : JSON.stringify(value)
}

/** Turns a refusal of the server into an error with its reasons. */
export function problemOf({ status, statusText, url }: Response, text: string): Error {
  try {
    const problem = JSON.parse(text) as Problem
    if (typeof problem.title === 'string') return new ProblemError({ ...problem, status })
  } catch {
    // The answer is not from Waybill.
  }
  const isAdmin = new URL(url).pathname.includes('/admin/')
  const cure = status === 404 && isAdmin ? ' Is the option "admin" of this API set, and the URL that of its mount?' : ''
  return new Error(`${url} answers ${status} ${statusText}.${cure}`)
}
