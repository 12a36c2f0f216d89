/** The operations that the handler of one attempt submits. Each is submitted once, under a key that is the same in every attempt. */
import { readReference } from '../blobs/blob-store.ts'
import type { Child, ChildOptions } from '../model/handler.ts'
import type { AnyOperationType } from '../model/operation-type.ts'
import { type ProblemError, problem, problemError } from '../model/problem.ts'
import type { FinalStatus, InputError } from '../model/protocol.ts'
import { readTags } from '../model/tags.ts'
import { validate } from '../model/validation.ts'
import { CHILDREN_STEP, isName, type RecordedChild, recordedChildren } from '../model/waits.ts'
import { Batcher } from '../util/batcher.ts'
import { inParallel } from '../util/in-parallel.ts'
import type { AttemptWaits } from './attempt-waits.ts'
import { childKey } from './child-key.ts'
import type { ChildEnd, ChildSubmission, Host } from './runners/runner.ts'
import type { Steps } from './steps.ts'
import { UniqueNames } from './unique-names.ts'

/** What the children of an attempt need. */
export interface ChildrenOptions {
  /** The operation that submits them. */
  readonly parent: { readonly id: string; readonly owner: string; readonly traceparent: string | null }
  readonly host: Pick<Host, 'submit' | 'childEnds' | 'childOutput'>
  readonly signal: AbortSignal
  readonly steps: Steps
  readonly waits: AttemptWaits
}

/** A child before it is submitted. */
interface NewChild {
  readonly key: string
  readonly detached: boolean
  readonly submission: ChildSubmission
}

/** How many children one step records: a handler that submits more at once submits them one batch after the other. */
const BATCH = 500
/** How many children's outcomes are read together. */
const PAGE = 500
/** How many results are read at once. */
const PARALLEL = 32

export class AttemptChildren {
  readonly #options: ChildrenOptions
  readonly #keys = new UniqueNames()
  readonly #batcher = new Batcher<NewChild, string>(batch => this.#submitAll(batch), { limit: BATCH })
  readonly #types = new Map<string, string>()
  readonly #ends = new Map<string, ChildEnd>()
  #recorded: Promise<ReadonlyMap<string, string>> | undefined

  constructor(options: ChildrenOptions) {
    this.#options = options
  }

  async submit(type: AnyOperationType, input: unknown, options: ChildOptions = {}): Promise<Child> {
    const { key: name = type.name, detached = false, ifInvalid = 'throw' } = options
    if (!isName(name)) {
      throw new TypeError('A child needs a key of 1 to 200 characters, without NUL and halves of surrogate pairs.')
    }
    if (this.#options.steps.isInside) {
      throw new Error(
        `The child "${name}" was submitted within a step. Submit it beside the step: it is recorded itself.`,
      )
    }
    const key = this.#keys.take(name)
    const id = await this.#options.waits.during(async () => {
      try {
        const known = (await this.#known()).get(key)
        return known ?? (await this.#batcher.add(await this.#newChild(type, input, { key, detached, ifInvalid })))
      } catch (error) {
        // A submission that failed is not kept: the handler may try it again.
        this.#keys.giveBack(name, key)
        throw error
      }
    })
    this.#types.set(id, type.name)
    return { id, key, result: async () => (await this.#ended(key, [id]))[0] }
  }

  async all(children: readonly Child[]): Promise<unknown[]> {
    return await this.#ended('all', idsOf(children))
  }

  async settled(children: readonly Child[]): Promise<FinalStatus[]> {
    const ids = idsOf(children)
    await this.#wait('all', ids)
    return ids.map(id => this.#ends.get(id)?.status ?? 'canceled')
  }

  async allSettled(children: readonly Child[]): Promise<PromiseSettledResult<unknown>[]> {
    const ids = idsOf(children)
    await this.#wait('all', ids)
    return await this.#results(ids)
  }

  /** What earlier attempts have submitted: the ids by the keys. */
  async #known(): Promise<ReadonlyMap<string, string>> {
    this.#recorded ??= this.#options.steps.recorded().then(steps => {
      return new Map(recordedChildren(steps).map(({ key, id }) => [key, id]))
    })
    return await this.#recorded
  }

  async #newChild(
    type: AnyOperationType,
    input: unknown,
    { key, detached, ifInvalid }: Required<ChildOptions> & { readonly key: string; readonly detached: boolean },
  ): Promise<NewChild> {
    // Loaded by the first child: most handlers have none, and the package that makes ids takes 15 ms of CPU to load.
    const { toSubmission } = await import('../model/submit-request.ts')
    const checked = await validate(type.input, input)
    const { errors } = checked
    if (errors !== undefined && ifInvalid === 'throw') throw invalidInput(type.name, key, errors)
    const { id: parent, owner, traceparent } = this.#options.parent
    const request = { input, owner, traceparent: traceparent ?? undefined }
    const submission = {
      ...toSubmission(type, request, childKey(parent, key, detached)),
      limits: undefined,
      ...(errors !== undefined && { refused: problem('invalid-input', undefined, { errors }) }),
      ...(errors === undefined && type.tags && { tags: readTags(type.name, type.tags(checked.value)) }),
    }
    return { key, detached, submission }
  }

  /** They are recorded after they were accepted: until then their idempotency keys find them again. */
  async #submitAll(batch: readonly NewChild[]) {
    const { host, steps, waits, signal } = this.#options
    signal.throwIfAborted()
    const ids = await host.submit(batch.map(({ submission }) => submission))
    waits.forgetFamily()
    const children = batch.map(({ key, detached }, index): RecordedChild => {
      return { key, id: ids[index] ?? '', ...(detached && { detached }) }
    })
    await steps.record(CHILDREN_STEP + ids[0], JSON.stringify(children))
    return children.map(({ id }) => ({ value: id }))
  }

  async #ended(name: string, ids: readonly string[]): Promise<unknown[]> {
    await this.#wait(name, ids)
    const failed = ids.find(id => this.#ends.get(id)?.status !== 'completed')
    if (failed !== undefined) throw this.#failure(failed, this.#ends.get(failed))
    return (await this.#results(ids)).map(result => {
      if (result.status === 'rejected') throw result.reason
      return result.value
    })
  }

  /** The wait is over. Until the handler has the results it counts as busy, so that no other wait suspends it. */
  async #results(ids: readonly string[]): Promise<PromiseSettledResult<unknown>[]> {
    const settled = async (id: string) => await Promise.allSettled([this.#resultOf(id)])
    return (await this.#options.waits.during(() => inParallel(ids, settled, PARALLEL))).flat()
  }

  async #wait(name: string, ids: readonly string[]): Promise<void> {
    if (ids.length > 0) await this.#options.waits.children(name, ids, () => this.#readEnds(ids))
  }

  /** When the last child ended; undefined if one has not ended. */
  async #readEnds(ids: readonly string[]): Promise<number | undefined> {
    const left = ids.filter(id => !this.#ends.has(id))
    for (let first = 0; first < left.length; first += PAGE) await this.#readPage(left.slice(first, first + PAGE))
    const ends = ids.map(id => this.#ends.get(id)?.at)
    return ends.includes(undefined) ? undefined : Math.max(...(ends as number[]))
  }

  async #readPage(ids: readonly string[]): Promise<void> {
    for (const [at, end] of (await this.#options.host.childEnds(ids)).entries()) {
      const id = ids[at]
      if (id === undefined || end === undefined) continue
      this.#checkType(id, end)
      this.#ends.set(id, end)
    }
  }

  /** A new version of the handler may use a key for a child of another type. */
  #checkType(id: string, { type: was }: ChildEnd): void {
    const is = this.#types.get(id)
    if (is === undefined || was === undefined || is === was) return
    throw new Error(
      `The child ${id} is of the type "${was}": an earlier attempt has submitted it under this key. Give the child of the type "${is}" a new key.`,
    )
  }

  async #resultOf(id: string): Promise<unknown> {
    const end = this.#ends.get(id)
    const output = end?.status === 'completed' ? await this.#options.host.childOutput(id) : undefined
    if (output === undefined) throw this.#failure(id, end)
    const reference = readReference(output, id)
    if (reference === undefined) return JSON.parse(output)
    throw new Error(`The result of the child ${id} is not JSON but ${reference.type}. Read it from its result URL.`)
  }

  #failure(id: string, end: ChildEnd | undefined): ProblemError {
    const type = this.#types.get(id) ?? ''
    const error = end?.problem
    const why = error === undefined ? 'Its result is no longer kept.' : (error.detail ?? error.title)
    const child = { id, operation: type, status: end?.status, ...(error && { error }) }
    return problemError('child-failed', `The operation ${id} of type "${type}": ${why}`, { extensions: { child } })
  }
}

function invalidInput(type: string, key: string, [error]: readonly InputError[]): Error {
  const where = error === undefined ? '' : ` ${error.pointer || 'The input'}: ${error.detail}.`
  return new Error(`The input of the child "${key}" does not match the schema of "${type}".${where}`)
}

function idsOf(children: readonly Child[]): readonly string[] {
  return children.map(({ id }) => id)
}
