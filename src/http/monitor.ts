/** `/operations/{id}`: the Azure status monitor of an operation of any type. */
import { azure } from '../dialects/azure.ts'
import type { HttpRequest, HttpResponse } from '../message.ts'
import type { Operation } from '../operation.ts'
import type { Operations } from '../operations.ts'
import { problemError } from '../problem.ts'
import type { Resource } from './resource.ts'

const CANCEL = ':cancel'

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
  async cancel({ params, owner }: HttpRequest): Promise<HttpResponse> {
    const id = params.id ?? ''
    if (!id.endsWith(CANCEL)) throw problemError('not-found')
    const operation = await this.#operations.cancel(id.slice(0, -CANCEL.length), owner)
    return await azure.canceled(await this.#view(operation))
  }

  #view(operation: Operation) {
    const resource = this.#resources.get(operation.type)
    if (resource === undefined) throw problemError('not-found')
    return resource.view(operation)
  }
}
