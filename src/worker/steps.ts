/** The steps of one attempt: each runs once for its operation, under a name that is the same in every attempt. */
import { AsyncLocalStorage } from 'node:async_hooks'

/** What the steps of an attempt need. Values are JSON texts. */
export interface StepOptions {
  /** Steps that earlier attempts have recorded. */
  readonly recorded: () => Promise<ReadonlyMap<string, string>>
  /** Runs the work of a step, and gives its outcome as JSON text. */
  readonly run: (name: string, work: () => unknown) => Promise<string>
  /** Resolves when the step is durable. */
  readonly record: (name: string, value: string) => Promise<void>
}

/** The steps that the code runs in, by their names. A step may have another operation run, whose steps are not its own. */
const around = new AsyncLocalStorage<{ readonly of: Steps; readonly names: readonly string[] }>()

export class Steps {
  readonly #options: StepOptions
  #recorded: Promise<ReadonlyMap<string, string>> | undefined
  /** The names under which steps run now, or have ended with an outcome. */
  readonly #taken = new Set<string>()
  /** How often each name was asked for. */
  readonly #uses = new Map<string, number>()

  constructor(options: StepOptions) {
    this.#options = options
  }

  /**
   * Runs a step, or gives the outcome that was recorded. Each further use of a name in one attempt is a step of its
   * own: `charge`, `charge#2`, `charge#3`, in the order of the calls. A use that fails gives its name back.
   */
  async step(name: unknown, work: () => unknown): Promise<unknown> {
    // Before the work: a name that a store cannot keep would lose what was done under it.
    if (typeof name !== 'string' || !NAME.test(name) || !name.isWellFormed()) {
      throw new TypeError('A step needs a name of 1 to 200 characters, without NUL and halves of surrogate pairs.')
    }
    const outer = this.#outer()
    if (outer.includes(name)) {
      throw new Error(`The step "${name}" was called within a step "${name}". Give the inner one a name of its own.`)
    }
    const own = this.#take(name)
    try {
      return JSON.parse(await this.#outcome(own, () => around.run({ of: this, names: [...outer, name] }, work)))
    } catch (error) {
      // Only an outcome is kept: a handler may try a step that has failed again.
      this.#giveBack(name, own)
      throw error
    }
  }

  async #outcome(name: string, work: () => unknown): Promise<string> {
    this.#recorded ??= this.#options.recorded()
    const before = (await this.#recorded).get(name)
    if (before !== undefined) return before
    const value = await this.#options.run(name, work)
    await this.#options.record(name, value)
    return value
  }

  #outer(): readonly string[] {
    const found = around.getStore()
    return found?.of === this ? found.names : []
  }

  #take(name: string): string {
    let use = this.#uses.get(name) ?? 1
    while (this.#taken.has(nameOfUse(name, use))) use++
    const own = nameOfUse(name, use)
    this.#taken.add(own)
    this.#uses.set(name, use + 1)
    return own
  }

  #giveBack(name: string, own: string): void {
    this.#taken.delete(own)
    // The next use looks for the lowest name that is free.
    this.#uses.delete(name)
  }
}

/** Counted as UTF-16 code units. */
const NAME = /^[^\0]{1,200}$/

function nameOfUse(name: string, use: number): string {
  return use === 1 ? name : `${name}#${use}`
}
