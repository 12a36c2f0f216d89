/** What the tests of a store share: a fresh store on a manual clock, and short ways to bring operations into a state. */
import assert from 'node:assert/strict'
import type { AttemptError, Change, Operation, Outcome } from '../../model/operation.ts'
import { problem } from '../../model/problem.ts'
import type { Submission } from '../../model/submission.ts'
import {
  acceptedOperation,
  type Claim,
  type ClaimRequest,
  type Hint,
  type Lease,
  type Store,
} from '../../stores/store.ts'
import { type ManualClock, manualClock } from '../manual-clock.ts'

/** Tests of one theme, by their names. */
export interface StoreTests {
  readonly name: string
  readonly tests: Readonly<Record<string, (test: StoreTest) => Promise<void>>>
}

/** How stores are made. */
export interface StoreMaker {
  readonly open: (clock: ManualClock) => Promise<Store>
  readonly reopen?: (clock: ManualClock) => Promise<Store>
  readonly hold?: StoreHolds
  readonly loseInput?: (id: string) => Promise<void>
}

/** How another program, such as a database shell, locks records that a store must write. */
export interface StoreHolds {
  /** Locks the record of an operation, in the store that was opened last, until the returned function is called. */
  readonly record: (id: string) => Promise<() => Promise<void>>
  /** Begins a transaction that `acceptWithin` takes. */
  readonly begin: () => Promise<{ readonly transaction: unknown; readonly end: (by: TransactionEnd) => Promise<void> }>
}

export type TransactionEnd = 'COMMIT' | 'ROLLBACK'

/** The type of the operations that tests submit by default. */
export const TYPE = 'orders'
export const HOLDER = 'host/1/a'
export const LEASE_MS = 30_000
export const HOUR = 3_600_000
export const DAY = 24 * HOUR

/** A problem such as a handler reports. */
export const OUT_OF_STOCK = problem('operation-failed', 'No “äpples” left.', { remaining: 0, places: ['a', 'b'] })

/** An error of a handler, with strings that a store must not change. */
export const THROWN: AttemptError = {
  name: 'TypeError',
  message: 'boom “ü” \u0000 \ud800',
  code: 'EBOOM',
  stack: 'TypeError: boom\n    at pack (orders.ts:1:2)',
  cause: { name: 'Error', message: 'the cause' },
}

/** Runs a test on a store of its own, and closes it. */
export async function withStoreTest(maker: StoreMaker, body: (test: StoreTest) => Promise<void>): Promise<void> {
  const clock = manualClock()
  const test = new StoreTest(maker, clock, await maker.open(clock))
  try {
    await body(test)
  } finally {
    await test.close()
  }
}

/** A store under test. */
export class StoreTest {
  readonly clock: ManualClock
  readonly #maker: StoreMaker
  readonly #open: Store[]
  #store: Store
  #ids = 0

  constructor(maker: StoreMaker, clock: ManualClock, store: Store) {
    this.#maker = maker
    this.clock = clock
    this.#store = store
    this.#open = [store]
  }

  get store(): Store {
    return this.#store
  }

  get now(): number {
    return this.clock.now()
  }

  get hold(): StoreHolds {
    if (this.#maker.hold === undefined) throw new Error('Nothing of the store can be held.')
    return this.#maker.hold
  }

  /** Removes the input of an operation. */
  async loseInput(id: string): Promise<void> {
    if (this.#maker.loseInput === undefined) throw new Error('No input of the store can be removed.')
    await this.#maker.loseInput(id)
  }

  /** One more store on the same data. */
  async another(): Promise<Store> {
    if (this.#maker.reopen === undefined) throw new Error('The store cannot be opened again.')
    const store = await this.#maker.reopen(this.clock)
    this.#open.push(store)
    return store
  }

  /** Closes the store and continues with another one on its data. */
  async restart(): Promise<void> {
    await this.#store.close()
    this.#store = await this.another()
  }

  async close(): Promise<void> {
    for (const store of this.#open) await store.close()
  }

  /** An id that is greater than those before it. */
  nextId(): string {
    return numberedId(++this.#ids)
  }

  submission(parts: Partial<Submission> = {}): Submission {
    return {
      id: this.nextId(),
      type: TYPE,
      owner: '',
      priority: 0,
      input: '{"item":"apple"}',
      maxAttempts: 3,
      maxLost: 2,
      retention: 7 * DAY,
      startWithin: null,
      delay: 0,
      idempotencyKey: null,
      fingerprint: null,
      traceparent: null,
      webhookUrl: null,
      ...parts,
    }
  }

  /** Accepts an operation: it is pending. */
  async submit(parts: Partial<Submission> = {}): Promise<Operation> {
    const acceptance = await this.store.accept(this.submission(parts))
    assert.equal(acceptance.kind, 'accepted')
    return acceptedOperation(acceptance)
  }

  /** Accepts several, in the order of their ids. */
  async submitMany(count: number, parts: Partial<Submission> = {}): Promise<Operation[]> {
    return await Promise.all(Array.from({ length: count }, () => this.submit(parts)))
  }

  /** Claims one operation by its id. */
  async claimOne(id: string, parts: Partial<ClaimRequest> = {}): Promise<Operation> {
    const [claim] = await this.store.claim({ ...CLAIM_BY, from: { id }, ...parts })
    assert.ok(claim, `${id} can be claimed`)
    return claim.operation
  }

  /** Claims from the queue of {@link TYPE}. */
  async claim(limit: number, type: string = TYPE): Promise<Claim[]> {
    return await this.store.claim({ ...CLAIM_BY, from: { types: [{ type, limit }], limit } })
  }

  /** Accepts an operation and begins an attempt of it: it is running. */
  async run(parts: Partial<Submission> = {}): Promise<Operation> {
    const { id } = await this.submit(parts)
    return await this.claimOne(id)
  }

  /** Accepts an operation, runs it and ends it with this outcome. */
  async end(outcome: Outcome, parts: Partial<Submission> = {}): Promise<Operation> {
    return await this.finish(await this.run(parts), outcome)
  }

  /** Ends the attempt that runs. */
  async finish(operation: Operation, outcome: Outcome): Promise<Operation> {
    return await this.change(operation.id, { kind: 'finish', attempt: operation.attempt, outcome })
  }

  /** Applies a change that must not be refused. */
  async change(id: string, change: Change): Promise<Operation> {
    const operation = await this.store.change(id, change)
    assert.ok(operation, `the change "${change.kind}" of ${id} is not refused`)
    return operation
  }

  /** Reads an operation that must be there. */
  async read(id: string): Promise<Operation> {
    const operation = await this.store.read(id)
    assert.ok(operation, `${id} can be read`)
    return operation
  }
}

export const CLAIM_BY = { holder: HOLDER, leaseMs: LEASE_MS, execution: null } as const

/** The n-th id: a UUID version 7 whose order is that of the numbers. */
export function numberedId(number: number): string {
  return `01941f29-7c00-7000-8000-${number.toString(16).padStart(12, '0')}`
}

export function leaseOf({ id, attempt }: Operation): Lease {
  return { id, attempt }
}

/** The ids of operations, claims or anything else that has one. */
export function idsOf(items: readonly ({ readonly id: string } | Claim)[]): string[] {
  return items.map(item => ('operation' in item ? item.operation.id : item.id))
}

/** How an operation can end, or how its attempt can. */
export const OUTCOMES = {
  completed: { kind: 'completed', output: '{"packed":true}' },
  failed: { kind: 'failed', problem: OUT_OF_STOCK },
  retry: { kind: 'retry', problem: OUT_OF_STOCK, delayMs: 5000 },
  canceled: { kind: 'canceled', problem: problem('operation-canceled') },
  released: { kind: 'released' },
} as const satisfies Record<string, Outcome>

/**
 * Resolves at a matching hint after which the expected change can be read. Call it before the change. A hint may be
 * about an earlier change: then another hint must follow, or this waits forever.
 */
export function hintThatFinds(
  store: Store,
  fits: (hint: Hint) => boolean,
  found: () => Promise<boolean>,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const unwatch = store.watch(hint => {
      if (!fits(hint)) return
      found().then(it => {
        if (!it) return
        unwatch()
        resolve()
      }, reject)
    })
  })
}
