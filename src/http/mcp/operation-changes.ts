/** The changes of operations as streams, and several streams as one. */
import type { Operation } from '../../model/operation.ts'
import { isFinal } from '../../model/protocol.ts'
import type { Operations } from '../../service/operations.ts'
import { HEARTBEAT_MS } from './request.ts'

/**
 * Yields an operation as it is, and after each change until it has ended; undefined for a heartbeat. Ends early where
 * the signal is aborted, in a shutdown, and while too many requests wait.
 */
export async function* changesOf(
  operations: Operations,
  operation: Operation,
  signal: AbortSignal,
): AsyncGenerator<Operation | undefined> {
  let now = operation
  yield now
  while (!isFinal(now.status) && !signal.aborted) {
    const seen = now.version
    const next = await operations.wait(now, ({ version }) => version > seen, { ms: HEARTBEAT_MS, signal })
    if (!next.waited) return
    now = next.operation
    yield now.version === seen ? undefined : now
  }
}

/** The result of a generator's next step. */
interface Step<T> {
  readonly generator: AsyncGenerator<T>
  readonly result: IteratorResult<T>
}

/** The values of several generators as they come. */
export class Merged<T> {
  /** Steps that have ended, in the order of their ends. */
  readonly #ended: Promise<Step<T>>[] = []
  /** How many generators have not ended. */
  #open = 0
  #wake = () => {}

  constructor(generators: readonly AsyncGenerator<T>[]) {
    this.add(...generators)
  }

  /** Adds further ones, also while {@link values} is read. */
  add(...generators: readonly AsyncGenerator<T>[]): void {
    this.#open += generators.length
    for (const generator of generators) this.#advance(generator)
  }

  /** Ends when all of them have ended. */
  async *values(): AsyncGenerator<T> {
    while (this.#open > 0) {
      const { generator, result } = await this.#nextStep()
      if (result.done) this.#open--
      else {
        this.#advance(generator)
        yield result.value
      }
    }
  }

  /** A race of all steps would leave something at each of them for every value, until that step ends. */
  async #nextStep(): Promise<Step<T>> {
    let step = this.#ended.shift()
    while (step === undefined) {
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
      step = this.#ended.shift()
    }
    return await step
  }

  #advance(generator: AsyncGenerator<T>): void {
    const step = generator.next().then(result => ({ generator, result }))
    const end = () => {
      this.#ended.push(step)
      this.#wake()
    }
    step.then(end, end)
  }
}
