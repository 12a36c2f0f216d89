/** The steps of one attempt: each runs once for its operation, under a name that is the same in every attempt. */
import { AsyncLocalStorage } from 'node:async_hooks'
import { isName, RESERVED_STEPS } from '../model/waits.ts'
import { UniqueNames } from './unique-names.ts'

/** What the steps of an attempt need. Values are JSON texts. */
export interface StepOptions {
  /** Steps that earlier attempts have recorded. */
  readonly recorded: () => Promise<ReadonlyMap<string, string>>
  /** Runs the work of a step, and gives its outcome as JSON text. */
  readonly run: (name: string, work: () => unknown) => Promise<string>
  /** Resolves when the step is durable. */
  readonly record: (name: string, value: string) => Promise<void>
}

/**
 * The names of the steps that the current code runs in. A step may run another operation in the same process, whose
 * steps do not count here.
 */
const around = new AsyncLocalStorage<{ readonly of: Steps; readonly names: readonly string[] }>()

export class Steps {
  /** Called when a step has ended and no other step runs. */
  onEnd: () => void = () => {}
  readonly #options: StepOptions
  #recorded: Promise<ReadonlyMap<string, string>> | undefined
  /** The names under which steps run now, or have ended with an outcome. */
  readonly #names = new UniqueNames()
  #running = 0

  constructor(options: StepOptions) {
    this.#options = options
  }

  /** Whether a step runs now. */
  get isRunning(): boolean {
    return this.#running > 0
  }

  /** Whether the caller is within a step. */
  get isInside(): boolean {
    return this.#outer().length > 0
  }

  /** Steps that earlier attempts have recorded, read once. */
  async recorded(): Promise<ReadonlyMap<string, string>> {
    this.#recorded ??= this.#options.recorded()
    return await this.#recorded
  }

  /** Records the value of a step without running any work. */
  async record(name: string, value: string): Promise<void> {
    await this.#options.record(name, value)
  }

  /**
   * Runs a step, or gives the outcome that was recorded. Each further use of a name in one attempt is a step of its
   * own: `charge`, `charge#2`, `charge#3`, in the order of the calls. A use that fails gives its name back.
   */
  async step(name: unknown, work: () => unknown): Promise<unknown> {
    // Checked before the work: if the store could not keep the name, the work would be lost.
    if (!isName(name)) {
      throw new TypeError('A step needs a name of 1 to 200 characters, without NUL and halves of surrogate pairs.')
    }
    if (name.startsWith(RESERVED_STEPS))
      throw new TypeError(`The name of a step cannot begin with "${RESERVED_STEPS}".`)
    const outer = this.#outer()
    if (outer.includes(name)) {
      throw new Error(`The step "${name}" was called within a step "${name}". Give the inner one a name of its own.`)
    }
    const own = this.#names.take(name)
    this.#running++
    try {
      return JSON.parse(await this.#outcome(own, () => around.run({ of: this, names: [...outer, name] }, work)))
    } catch (error) {
      // Only an outcome is kept: a handler may run a failed step again.
      this.#names.giveBack(name, own)
      throw error
    } finally {
      if (--this.#running === 0) this.onEnd()
    }
  }

  async #outcome(name: string, work: () => unknown): Promise<string> {
    const before = (await this.recorded()).get(name)
    if (before !== undefined) return before
    const value = await this.#options.run(name, work)
    await this.#options.record(name, value)
    return value
  }

  #outer(): readonly string[] {
    const found = around.getStore()
    return found?.of === this ? found.names : []
  }
}
