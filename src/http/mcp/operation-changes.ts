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
  readonly #pending = new Map<AsyncGenerator<T>, Promise<Step<T>>>()

  constructor(generators: readonly AsyncGenerator<T>[]) {
    this.add(...generators)
  }

  /** Adds further ones, also while {@link values} is read. */
  add(...generators: readonly AsyncGenerator<T>[]): void {
    for (const generator of generators) this.#advance(generator)
  }

  /** Ends when all of them have ended. */
  async *values(): AsyncGenerator<T> {
    while (this.#pending.size > 0) {
      const { generator, result } = await Promise.race(this.#pending.values())
      if (result.done) this.#pending.delete(generator)
      else {
        this.#advance(generator)
        yield result.value
      }
    }
  }

  #advance(generator: AsyncGenerator<T>): void {
    const step = generator.next().then(result => ({ generator, result }))
    // Nobody awaits it if the values are not read any further.
    step.catch(() => {})
    this.#pending.set(generator, step)
  }
}
