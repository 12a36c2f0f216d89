/** Counts what was begun and has not ended. A set of the promises would grow V8's old generation: see `id-map.ts`. */
export class Followed {
  #unended = 0
  readonly #awaiting: (() => void)[] = []

  /** Counts a promise until it settles, however it does. */
  add(promise: Promise<unknown>): void {
    this.#unended++
    const end = () => {
      if (--this.#unended === 0) for (const resolve of this.#awaiting.splice(0)) resolve()
    }
    promise.then(end, end)
  }

  /** Resolves when everything has ended, what is added meanwhile included. */
  async ended(): Promise<void> {
    while (this.#unended > 0) await new Promise<void>(resolve => this.#awaiting.push(resolve))
  }
}
