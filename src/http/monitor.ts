/** `/operations/{id}`: the Azure status monitor of an operation of any type. */

import type { Operation } from '../model/operation.ts'
import { problemError } from '../model/problem.ts'
import { isFinal } from '../model/protocol.ts'
import type { Operations } from '../service/operations.ts'
import { assertConditions, isConditional } from './conditional.ts'
import { azure } from './dialects/azure.ts'
import type { HttpRequest, HttpResponse } from './message.ts'
import { acceptedAnswer, isCancelable, type Resource } from './resource.ts'

const CANCEL = ':cancel'
const RETRY = ':retry'

/** Whether a path ends in `{id}:cancel`. */
export function namesCancel({ params }: HttpRequest): boolean {
  return (params.id ?? '').endsWith(CANCEL)
}

/** Whether a path ends in `{id}:retry`. */
export function namesRetry({ params }: HttpRequest): boolean {
  return (params.id ?? '').endsWith(RETRY)
}

export class Monitor {
  readonly #operations: Operations
  readonly #resources: ReadonlyMap<string, Resource>

  /** @param resources by the name of their operation type */
  constructor(operations: Operations, resources: ReadonlyMap<string, Resource>) {
    this.#operations = operations
    this.#resources = resources
  }

  /** GET /operations/{id} */
  async status({ params, owner }: HttpRequest): Promise<HttpResponse> {
    const operation = await this.#operations.find(params.id ?? '', owner)
    return await azure.status(await this.#view(operation))
  }

  /** POST /operations/{id}:cancel */
  async cancel(request: HttpRequest): Promise<HttpResponse> {
    const id = (request.params.id ?? '').slice(0, -CANCEL.length)
    if (isConditional(request)) {
      const before = await this.#operations.find(id, request.owner)
      // An operation that cannot be canceled is refused for that reason, whatever the conditions.
      if (isCancelable(before)) assertConditions(request)
    }
    const operation = await this.#operations.cancel(id, request.owner)
    return await azure.cancel(await this.#view(operation))
  }

  /** POST /operations/{id}:retry */
  async retry(request: HttpRequest): Promise<HttpResponse> {
    const id = (request.params.id ?? '').slice(0, -RETRY.length)
    const fresh = flagOf(request, 'fresh')
    if (isConditional(request)) {
      await this.#operations.find(id, request.owner)
      assertConditions(request)
    }
    const { operation, replayed } = await this.#operations.retry(id, request.owner, { fresh })
    const answer = acceptedAnswer((await this.#view(operation)).document)
    return replayed ? { ...answer, headers: { ...answer.headers, 'Idempotency-Replayed': 'true' } } : answer
  }

  /** DELETE /operations/{id} */
  async delete(request: HttpRequest): Promise<HttpResponse> {
    const { params, owner } = request
    const id = params.id ?? ''
    const cancel = flagOf(request, 'cancel')
    const before = await this.#operations.find(id, owner)
    if (isConditional(request)) assertConditions(request)
    if (cancel && !isFinal(before.status)) {
      const operation = await this.#operations.cancel(id, owner)
      // The handler is asked to stop. The data can be deleted once it has stopped.
      if (!isFinal(operation.status)) return { ...(await azure.cancel(await this.#view(operation))), status: 202 }
    }
    await this.#operations.delete(id, owner)
    return { status: 204, headers: {}, body: null }
  }

  #view(operation: Operation) {
    const resource = this.#resources.get(operation.type)
    if (resource === undefined) throw problemError('not-found')
    return resource.view(operation)
  }
}

/** A query parameter that is `true` or `false`; false if it is missing. */
function flagOf({ query }: HttpRequest, name: string): boolean {
  const value = query.get(name) ?? 'false'
  if (value === 'true' || value === 'false') return value === 'true'
  throw problemError('invalid-request', `${name} is "true" or "false".`)
}
