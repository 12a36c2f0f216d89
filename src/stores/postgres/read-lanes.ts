/** Reads records and payloads. Requests that arrive during a read are combined in the next one. */
import type { Operation } from '../../model/operation.ts'
import type { WithOutput } from '../store.ts'
import type { Connections } from './connections.ts'
import { Lanes } from './lanes.ts'
import { bodiesOf, operationsOf, RECORD_WIDTH, toOperation } from './rows.ts'
import type { Statements } from './statements.ts'

/** The key of a payload. */
interface PayloadKey {
  readonly id: string
  /** 0 for the input, 1 for the output. */
  readonly kind: 0 | 1
}

/** The most payloads of one read: each may have 32 MiB. */
const MOST_PAYLOADS = 10

/** Every id that is passed must be valid: see `isId`. */
export class ReadLanes {
  readonly #connections: Connections
  readonly #statements: Statements
  readonly #records: Lanes<string, Operation | undefined>
  readonly #payloads: Lanes<PayloadKey, string | undefined>
  readonly #results: Lanes<string, WithOutput | undefined>

  constructor(connections: Connections, statements: Statements) {
    this.#connections = connections
    this.#statements = statements
    const { limitMs } = connections
    this.#records = new Lanes({
      limitMs,
      write: (ids, until) => this.#readRecords(ids, until),
      key: id => id,
      isTied: () => false,
    })
    this.#payloads = new Lanes({
      limitMs,
      write: (keys, until) => this.#readPayloads(keys, until),
      key: ({ id }) => id,
      isTied: () => false,
      most: MOST_PAYLOADS,
      slowMs: 0,
    })
    this.#results = new Lanes({
      limitMs,
      write: (ids, until) => this.#readResults(ids, until),
      key: id => id,
      isTied: () => false,
      most: MOST_PAYLOADS,
      slowMs: 0,
    })
  }

  async read(id: string): Promise<Operation | undefined> {
    return await this.#records.add(id)
  }

  async payload(id: string, kind: 'input' | 'output'): Promise<string | undefined> {
    return await this.#payloads.add({ id, kind: kind === 'input' ? 0 : 1 })
  }

  async withOutput(id: string): Promise<WithOutput | undefined> {
    return await this.#results.add(id)
  }

  /** Resolves when nothing is being read. */
  async drained(): Promise<void> {
    await Promise.all([this.#records, this.#payloads, this.#results].map(lanes => lanes.drained()))
  }

  async #readRecords(ids: readonly string[], until: number): Promise<(Operation | undefined)[]> {
    const rows = await this.#connections.run(this.#statements.read, [[...new Set(ids)]], until)
    return operationsOf(ids, rows)
  }

  async #readPayloads(keys: readonly PayloadKey[], until: number): Promise<(string | undefined)[]> {
    const values = [[...new Set(keys.map(({ id }) => id))], [...new Set(keys.map(({ kind }) => kind))]]
    const rows = await this.#connections.run(this.#statements.payloads, values, until)
    return bodiesOf(keys, rows)
  }

  async #readResults(ids: readonly string[], until: number): Promise<(WithOutput | undefined)[]> {
    const rows = await this.#connections.run(this.#statements.readWithOutput, [[...new Set(ids)]], until)
    const results = new Map(
      rows.map((row): [unknown, WithOutput] => {
        const output = row[RECORD_WIDTH] as string | null
        return [row[0], { operation: toOperation(row), ...(output !== null && { output }) }]
      }),
    )
    return ids.map(id => results.get(id))
  }
}
