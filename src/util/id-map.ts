/**
 * A map from ids, for entries that come and go in a process that lives long. A `Map` would keep what was deleted from
 * it: V8 replaces its table after as many changes as it has places, and the replaced table refers to the next one. Once
 * one of them is in the old generation, all that follow stay until the next full collection, each with the entries that
 * it had. So nearly every value becomes garbage that no small collection frees. Here, no table refers to a later one.
 */

const FIRST_SIZE = 16

export class IdMap<Value> {
  /** Open addressing: an entry is at the place that its id names, or at the first free one behind it. */
  #ids: (string | undefined)[] = places()
  #values: (Value | undefined)[] = places()
  #size = 0

  get size(): number {
    return this.#size
  }

  get(id: string): Value | undefined {
    return this.#values[this.#placeOf(id)]
  }

  set(id: string, value: Value): void {
    const place = this.#placeOf(id)
    this.#values[place] = value
    if (this.#ids[place] !== undefined) return
    this.#ids[place] = id
    this.#size++
    // Half of the places stay free, so that a free one is always near.
    if (this.#size * 2 > this.#ids.length) this.#grow()
  }

  delete(id: string): void {
    const place = this.#placeOf(id)
    if (this.#ids[place] === undefined) return
    this.#size--
    this.#free(place)
  }

  clear(): void {
    if (this.#size === 0) return
    this.#ids.fill(undefined)
    this.#values.fill(undefined)
    this.#size = 0
  }

  /** As they are now: what is set or deleted meanwhile is not seen. */
  values(): Value[] {
    return this.#ids.flatMap((id, place) => (id === undefined ? [] : [this.#values[place] as Value]))
  }

  /** As they are now. */
  ids(): string[] {
    return this.#ids.filter(id => id !== undefined)
  }

  #placeOf(id: string): number {
    const ids = this.#ids
    const last = ids.length - 1
    let place = hash(id) & last
    while (ids[place] !== undefined && ids[place] !== id) place = (place + 1) & last
    return place
  }

  /** Frees a place, and moves up the entries behind it that would not be found across the gap. */
  #free(place: number): void {
    const last = this.#ids.length - 1
    let free = place
    for (let at = (free + 1) & last; ; at = (at + 1) & last) {
      const id = this.#ids[at]
      if (id === undefined) break
      const named = hash(id) & last
      if (((at - named) & last) < ((at - free) & last)) continue
      this.#ids[free] = id
      this.#values[free] = this.#values[at]
      free = at
    }
    this.#ids[free] = undefined
    this.#values[free] = undefined
  }

  #grow(): void {
    const [ids, values] = [this.#ids, this.#values]
    this.#ids = places(ids.length * 2)
    this.#values = places(ids.length * 2)
    this.#size = 0
    ids.forEach((id, place) => {
      if (id !== undefined) this.set(id, values[place] as Value)
    })
  }
}

function places<Content>(count = FIRST_SIZE): (Content | undefined)[] {
  return new Array<Content | undefined>(count).fill(undefined)
}

/** A number that depends on the end of an id: ids begin with a time. */
export function hash(id: string): number {
  let mixed = 0
  for (let at = Math.max(0, id.length - 8); at < id.length; at++) mixed = (Math.imul(mixed, 31) + id.charCodeAt(at)) | 0
  return mixed ^ (mixed >>> 15)
}
