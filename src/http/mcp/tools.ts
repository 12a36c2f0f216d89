/** The tools: one for each operation type with the option `tool`. */
import type { AnyOperationType, JsonSchema } from '../../model/operation-type.ts'
import { jsonSchemaOf } from '../../model/standard-json-schema.ts'
import type { Tool as ToolPolicy } from '../../model/tool.ts'
import type { Durations } from '../../service/estimator.ts'
import type { Operations } from '../../service/operations.ts'
import type { Members } from './json-rpc.ts'

/** A tool, and the operation type behind it. */
export interface Tool extends ToolPolicy {
  readonly type: AnyOperationType
  readonly inputSchema: JsonSchema
  /** Present only if results are JSON objects. */
  readonly outputSchema: JsonSchema | undefined
}

export class Tools {
  readonly #operations: Operations
  readonly #byName = new Map<string, Tool>()
  readonly #byType = new Map<string, Tool>()

  /** @throws {TypeError} if two have the same name, or the input of one is not an object */
  constructor(operations: Operations) {
    this.#operations = operations
    for (const type of operations.types.values()) {
      if (type.tool === undefined) continue
      const tool = toTool(type, type.tool)
      if (this.#byName.has(tool.name)) throw new TypeError(`Two operation types have the tool "${tool.name}".`)
      this.#byName.set(tool.name, tool)
      this.#byType.set(type.name, tool)
    }
  }

  find(name: string): Tool | undefined {
    return this.#byName.get(name)
  }

  /** The tool of an operation type. */
  ofType(type: string): Tool | undefined {
    return this.#byType.get(type)
  }

  /** The largest input that one of them takes, in bytes. */
  get bodyLimit(): number {
    return Math.max(0, ...[...this.#byName.values()].map(({ type }) => type.policy.bodyLimit))
  }

  /** Whether one of them sends clients what its handler logs. */
  get exposeLogs(): boolean {
    return [...this.#byName.values()].some(({ type }) => type.policy.exposeLogs)
  }

  /** Describes the tools, always in the same order. */
  async describe(wanted: (tool: Tool) => boolean): Promise<readonly Members[]> {
    return await Promise.all([...this.#byName.values()].filter(wanted).map(tool => this.#describe(tool)))
  }

  /** The same for clients of revision 2025-11-25, which state with each call whether it should be a task. */
  async describeForLegacyTasks(): Promise<readonly Members[]> {
    const all = [...this.#byName.values()]
    return await Promise.all(
      all.map(async tool => ({ ...(await this.#describe(tool)), execution: { taskSupport: tool.task } })),
    )
  }

  async #describe(tool: Tool): Promise<Members> {
    return describe(tool, await this.#operations.durations(tool.type))
  }
}

function toTool(type: AnyOperationType, policy: ToolPolicy): Tool {
  const input = jsonSchemaOf(type.input, 'input') ?? {}
  if (input.type !== undefined && input.type !== 'object') {
    throw new TypeError(`The operation type "${type.name}" cannot be a tool: its input is not an object.`)
  }
  const output = jsonSchemaOf(type.output, 'output')
  return {
    ...policy,
    type,
    inputSchema: { ...input, type: 'object' },
    outputSchema: output?.type === 'object' ? output : undefined,
  }
}

function describe(tool: Tool, durations: Durations | undefined): Members {
  const { name, title, annotations, inputSchema, outputSchema, type } = tool
  const description = [
    tool.description ?? `Runs one operation of the type "${type.name}".`,
    durations === undefined ? '' : sayDurations(durations),
  ]
  return {
    name,
    title,
    description: description.filter(sentence => sentence !== '').join(' '),
    inputSchema,
    outputSchema,
    annotations,
    _meta: { [IDEMPOTENCY_KEY]: type.policy.requireIdempotencyKey ? 'required' : 'optional' },
  }
}

/**
 * The member of `_meta` that names a call, 1 to 255 characters: a second call with the same key and arguments is the
 * first one. In the description of a tool it says whether each call needs one.
 */
export const IDEMPOTENCY_KEY = 'waybill/idempotencyKey'

/**
 * The durations that descriptions may name, in seconds. There are few, so that descriptions rarely change, which prompt
 * caches need.
 */
const STEPS_S = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 18_000, 36_000, 86_400]

function sayDurations({ median, p90 }: Durations): string {
  const usual = sayDuration(median)
  const slow = sayDuration(p90)
  if (usual === slow) return `A call usually takes ${usual}.`
  return `A call usually takes ${usual}; one in ten takes longer than ${slow.replace(/^(?:about|less than) /, '')}.`
}

function sayDuration(ms: number): string {
  const seconds = ms / 1000
  if (seconds < 1) return 'less than 1 second'
  const nearest = STEPS_S.reduce((best, step) => (step <= seconds * 1.25 ? step : best), 1)
  const [amount, unit] =
    nearest < 60 ? [nearest, 'second'] : nearest < 3600 ? [nearest / 60, 'minute'] : [nearest / 3600, 'hour']
  return `about ${amount} ${unit}${amount === 1 ? '' : 's'}`
}
