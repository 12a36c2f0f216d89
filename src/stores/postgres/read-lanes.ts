/** Reads records, inputs and outputs. Requests that arrive during a read are combined in the next one. */
import type { Operation } from '../../model/operation.ts'
import type { WithOutput } from '../store.ts'
import type { Connections } from './connections.ts'
import { Lanes } from './lanes.ts'
import { type AskedRecord, inputsOf, RECORD_WIDTH, recordsOf, toOperation } from './rows.ts'
import type { Statements } from './statements.ts'

/** The most inputs or outputs of one read: each may have 32 MiB. */
const MOST_BODIES = 10

/** Every id that is passed must be valid: see `isId`. */
export class ReadLanes {
  readonly #connections: Connections
  readonly #statements: Statements
  readonly #records: Lanes<AskedRecord, Operation | undefined>
  readonly #inputs: Lanes<string, string | undefined>
  readonly #results: Lanes<string, WithOutput | undefined>

  constructor(connections: Connections, statements: Statements) {
    this.#connections = connections
    this.#statements = statements
    const { limitMs } = connections
    this.#records = new Lanes({
      limitMs,
      write: (asked, until) => this.#readRecords(asked, until),
      key: ({ id }) => id,
      isTied: () => false,
    })
    this.#inputs = new Lanes({
      limitMs,
      write: (ids, until) => this.#readInputs(ids, until),
      key: id => id,
      isTied: () => false,
      most: MOST_BODIES,
      slowMs: 0,
    })
    this.#results = new Lanes({
      limitMs,
      write: (ids, until) => this.#readResults(ids, until),
      key: id => id,
      isTied: () => false,
      most: MOST_BODIES,
      slowMs: 0,
    })
  }

  async read(id: string, known?: Operation): Promise<Operation | undefined> {
    return await this.#records.add({ id, known })
  }

  async input(id: string): Promise<string | undefined> {
    return await this.#inputs.add(id)
  }

  async withOutput(id: string): Promise<WithOutput | undefined> {
    return await this.#results.add(id)
  }

  /** Resolves when nothing is being read. */
  async drained(): Promise<void> {
    await Promise.all([this.#records, this.#inputs, this.#results].map(lanes => lanes.drained()))
  }

  async #readRecords(asked: readonly AskedRecord[], until: number): Promise<(Operation | undefined)[]> {
    const ids = new Set(asked.map(({ id }) => id))
    return recordsOf(asked, await this.#connections.run(this.#statements.read, [[...ids]], until))
  }

  async #readInputs(ids: readonly string[], until: number): Promise<(string | undefined)[]> {
    const rows = await this.#connections.run(this.#statements.inputs, [[...new Set(ids)]], until)
    return inputsOf(ids, rows)
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
