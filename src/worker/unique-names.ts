/** Names that are used once each in one attempt: a further use of `charge` is `charge#2`, in the order of the calls. */
export class UniqueNames {
  readonly #taken = new Set<string>()
  /** The next number to try for each name. */
  readonly #uses = new Map<string, number>()

  take(name: string): string {
    let use = this.#uses.get(name) ?? 1
    while (this.#taken.has(nameOfUse(name, use))) use++
    const own = nameOfUse(name, use)
    this.#taken.add(own)
    this.#uses.set(name, use + 1)
    return own
  }

  /** @param own what {@link take} gave for the name */
  giveBack(name: string, own: string): void {
    this.#taken.delete(own)
    // The next use looks for the lowest name that is free.
    this.#uses.delete(name)
  }
}

function nameOfUse(name: string, use: number): string {
  return use === 1 ? name : `${name}#${use}`
}
