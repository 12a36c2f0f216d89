/** Begins attempts: claims operations, and returns each with its input. */
import { type Change, INPUT_LOST } from '../../model/operation.ts'
import { inParallel } from '../../util/in-parallel.ts'
import type { Claim, ClaimRequest } from '../store.ts'
import type { CosmosAccess } from './access.ts'
import { textOf } from './besides.ts'
import type { Begin, Claims } from './claims.ts'
import type { OperationItem } from './items.ts'
import type { Mutations } from './mutations.ts'
import { changing, claiming } from './transitions.ts'

/** How long after its acceptance the input of an operation may be missing in a replica that lags, in milliseconds. */
const LATEST_INPUT_MS = 60_000

export class AttemptClaims {
  readonly #access: CosmosAccess
  readonly #mutations: Mutations
  readonly #claims: Claims

  constructor(access: CosmosAccess, mutations: Mutations, claims: Claims) {
    this.#access = access
    this.#mutations = mutations
    this.#claims = claims
  }

  async claim(request: ClaimRequest): Promise<Claim[]> {
    const { from } = request
    const inputs = new Map<string, string>()
    const begin: Begin = async candidate => {
      // The input is read before the claim: an attempt that has begun and cannot be returned would be lost.
      const input = await textOf(this.#access, candidate.item.input)
      if (input !== undefined) inputs.set(candidate.item.id, input)
      else if (this.#mayArrive(candidate.item)) return undefined
      const claim = claiming(request, 'id' in from ? 'any' : 'due')
      return await this.#mutations.apply(candidate.item.id, claim, candidate)
    }
    const items =
      'id' in from ? await this.#claimOne(from.id, begin) : await this.#claims.take(from.types, from.limit, begin)
    const claims = await inParallel(items, item => this.#handOut(item, inputs.get(item.id)))
    return claims.flat()
  }

  async #claimOne(id: string, begin: Begin): Promise<OperationItem[]> {
    const candidate = await this.#access.operation(id)
    if (candidate?.item.kind !== 'operation' || candidate.item.record.status !== 'pending') return []
    const begun = await begin(candidate)
    return begun === undefined ? [] : [begun]
  }

  /** Whether the input may still arrive: it is not lost if only a replica lacks it. */
  #mayArrive({ record }: OperationItem): boolean {
    return this.#access.now() - record.createdAt < LATEST_INPUT_MS
  }

  /**
   * Returns a claimed operation. One whose input is missing is ended instead, so that it does not take the place of
   * another.
   */
  async #handOut({ id, record }: OperationItem, input: string | undefined): Promise<Claim[]> {
    if (input !== undefined) return [{ operation: record, input }]
    const end: Change = { kind: 'finish', attempt: record.attempt, outcome: INPUT_LOST }
    await this.#mutations.apply(id, changing(id, end, false))
    return []
  }
}
