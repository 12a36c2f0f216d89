/** `/operations/{id}`: the Azure status monitor of an operation of any type. */

import type { Operation } from '../model/operation.ts'
import { problemError } from '../model/problem.ts'
import type { Operations } from '../service/operations.ts'
import { assertConditions, isConditional } from './conditional.ts'
import { azure } from './dialects/azure.ts'
import type { HttpRequest, HttpResponse } from './message.ts'
import { isCancelable, type Resource } from './resource.ts'

const CANCEL = ':cancel'

/** Whether a path ends in `{id}:cancel`. */
export function namesCancel({ params }: HttpRequest): boolean {
  return (params.id ?? '').endsWith(CANCEL)
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
      // What cannot be canceled is refused for that, whatever the conditions.
      if (isCancelable(before)) assertConditions(request)
    }
    const operation = await this.#operations.cancel(id, request.owner)
    return await azure.cancel(await this.#view(operation))
  }

  #view(operation: Operation) {
    const resource = this.#resources.get(operation.type)
    if (resource === undefined) throw problemError('not-found')
    return resource.view(operation)
  }
}
