/** Checks whether a service can take requests: its store answers and accepts writes. */
import type { Store } from '../stores/store.ts'

/** How long the result of a check is reused, in milliseconds, since each check costs a write. */
const WRITABLE_MS = 5000
/** The same after a failed check: shorter, so that a recovered store is noticed soon. */
const UNWRITABLE_MS = 1000
/** No operation has this id: a read of it proves that the store answers. */
const NO_ID = '00000000-0000-7000-8000-000000000000'

export class Readiness {
  readonly #store: Pick<Store, 'read' | 'check'>
  #writable: Promise<boolean> | undefined
  /** Until when the last result is reused, by the monotonic clock. */
  #checkedUntil = 0

  constructor(store: Pick<Store, 'read' | 'check'>) {
    this.#store = store
  }

  /** Reads each time; writes at most every 5 s, or every second after a failure, however often it is called. */
  async isReady(): Promise<boolean> {
    const [answers, writable] = await Promise.all([succeeds(this.#store.read(NO_ID)), this.#takesWrites()])
    return answers && writable
  }

  #takesWrites(): Promise<boolean> {
    if (this.#writable !== undefined && performance.now() < this.#checkedUntil) return this.#writable
    // Calls that come during the check share it.
    this.#checkedUntil = Number.POSITIVE_INFINITY
    this.#writable = succeeds(this.#store.check?.()).then(writable => {
      this.#checkedUntil = performance.now() + (writable ? WRITABLE_MS : UNWRITABLE_MS)
      return writable
    })
    return this.#writable
  }
}

async function succeeds(call: Promise<unknown> | undefined): Promise<boolean> {
  return await (call ?? Promise.resolve()).then(
    () => true,
    () => false,
  )
}
