/** A laboratory for tests of the engine: it makes real parts, and frees them all when the test has ended. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test as base } from 'vitest'
import { sqliteStore } from 'waybill/stores/sqlite'
import type { Operation } from '../../src/model/operation.ts'
import type { AnyOperationType } from '../../src/model/operation-type.ts'
import { isFinal, type Status } from '../../src/model/protocol.ts'
import type { Store } from '../../src/stores/store.ts'
import type { Logger } from '../../src/util/logger.ts'
import { createWaybill, type Waybill, type WaybillOptions, type WorkerOptions } from '../../src/waybill.ts'

/** No condition takes so long on any machine; a wait that exceeds it has failed. */
export const PATIENCE_MS = 240_000

/** Makes parts, and frees them in the reverse order. */
export class TestContext {
  readonly #frees: (() => unknown)[] = []

  /** Has something freed when the test has ended. */
  onEnd(free: () => unknown): void {
    this.#frees.push(free)
  }

  /** A path for a SQLite file in a folder of its own. */
  file(): string {
    const folder = mkdtempSync(join(tmpdir(), 'waybill-test-'))
    this.onEnd(() => rmSync(folder, { recursive: true, force: true }))
    return join(folder, 'operations.db')
  }

  /** An open store: in memory, or on a file. */
  async store(path = ':memory:'): Promise<Store> {
    const store = sqliteStore({ path, synchronous: 'NORMAL' })
    await store.open()
    this.onEnd(() => store.close())
    return store
  }

  /** A composition that has started, with quick scans and sweeps, on a store in memory unless one is given. */
  async waybill(
    operations: readonly AnyOperationType[],
    options: Partial<Omit<WaybillOptions, 'operations'>> = {},
  ): Promise<Waybill> {
    const waybill = this.composition(operations, options)
    await waybill.start()
    return waybill
  }

  /** The same before its start. */
  composition(
    operations: readonly AnyOperationType[],
    options: Partial<Omit<WaybillOptions, 'operations'>> = {},
  ): Waybill {
    const store = options.store ?? sqliteStore({ path: ':memory:' })
    const { worker, ...rest } = options
    const quick: WorkerOptions | undefined = worker && {
      pollInterval: 50,
      niceness: 0,
      shutdownTimeout: 500,
      gracePeriod: 500,
      ...worker,
    }
    const waybill = createWaybill({
      operations,
      logger: SILENT,
      sweepInterval: 100,
      // A very busy machine may take longer than the default for a statement. A test of this limit sets its own.
      storeTimeout: '5m',
      ...rest,
      store,
      ...(quick && { worker: quick }),
    })
    this.onEnd(() => waybill.stop())
    return waybill
  }

  async free(): Promise<void> {
    for (const free of this.#frees.splice(0).reverse()) await free()
  }
}

/** A test that is given a {@link TestContext}. */
export const test = base.extend<{ lab: TestContext }>({
  lab: async ({ task: _ }, use) => {
    const lab = new TestContext()
    await use(lab)
    await lab.free()
  },
})

/** Tells no one. */
export const SILENT: Logger = { info: () => {}, warn: () => {}, error: () => {} }

/** Keeps what it is told. */
export class KeptLog implements Logger {
  readonly lines: { level: string; message: string; fields: object }[] = []
  readonly info = this.#keep('info')
  readonly warn = this.#keep('warn')
  readonly error = this.#keep('error')

  #keep(level: string): (fields: object, message: string) => void {
    return (fields, message) => void this.lines.push({ level, message, fields })
  }
}

/** Submits, and gives the id. */
export async function submit(
  waybill: Waybill,
  type: AnyOperationType,
  input: unknown = null,
  options: { owner?: string; delay?: number; traceparent?: string } = {},
): Promise<string> {
  const { operation } = await waybill.operations.submit(type, { input, ...options })
  return operation.id
}

/** The record, which must be there. */
export async function recordOf(store: Store, id: string): Promise<Operation> {
  const operation = await store.read(id)
  if (operation === undefined) throw new Error(`There is no operation ${id}.`)
  return operation
}

/** Resolves with the record when it satisfies the condition. */
export async function when(store: Store, id: string, condition: (operation: Operation) => boolean): Promise<Operation> {
  let last: Operation | undefined
  await until(
    async () => {
      last = await store.read(id)
      return last !== undefined && condition(last)
    },
    () => `The operation is ${JSON.stringify(last)}`,
  )
  return await recordOf(store, id)
}

/** Resolves with the record when it has the status. */
export function hasStatus(store: Store, id: string, status: Status): Promise<Operation> {
  return when(store, id, operation => operation.status === status)
}

/** Resolves with the record when it has a final status. */
export function hasFinished(store: Store, id: string): Promise<Operation> {
  return when(store, id, operation => isFinal(operation.status))
}

/** The result of a completed operation. */
export async function resultOf(store: Store, id: string): Promise<unknown> {
  const operation = await hasFinished(store, id)
  if (operation.status !== 'completed')
    throw new Error(`It has ${operation.status}: ${JSON.stringify(operation.error)}`)
  return JSON.parse((await store.readPayload(id, 'output')) ?? '"missing"')
}

/** The messages of an operation's log. */
export async function logOf(store: Store, id: string): Promise<string[]> {
  return (await store.logs(id, 0)).map(({ message }) => message)
}

/** Resolves when the condition holds. */
export async function until(condition: () => unknown, describe: () => string = () => String(condition)): Promise<void> {
  const end = performance.now() + PATIENCE_MS
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`It never came true: ${describe()}`)
    await new Promise(resolve => setTimeout(resolve, 10))
  }
}

/** A store whose methods can be cut off, as they are when a server is away, and that counts its calls. */
export interface FaultyStore {
  readonly store: Store
  /** The methods that reject now. */
  readonly cut: Set<keyof Store>
  /** The methods that never answer now. */
  readonly hung: Set<keyof Store>
  readonly calls: Map<keyof Store, number>
}

/** Puts a switch before each method of a store. */
export function faultyStore(real: Store): FaultyStore {
  const cut = new Set<keyof Store>()
  const hung = new Set<keyof Store>()
  const calls = new Map<keyof Store, number>()
  const store = new Proxy(real, {
    get: (target, name: keyof Store) => {
      const method = target[name] as ((...given: unknown[]) => unknown) | undefined
      if (method === undefined) return undefined
      return (...given: unknown[]) => {
        calls.set(name, (calls.get(name) ?? 0) + 1)
        if (cut.has(name)) return Promise.reject(new Error('The store is away.'))
        if (hung.has(name)) return new Promise(() => {})
        return method.apply(target, given)
      }
    },
  })
  return { store, cut, hung, calls }
}
