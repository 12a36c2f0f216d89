/** `subscriptions/listen`: a stream of the changes of tasks, until all of them have ended. */
import type { Operation } from '../../model/operation.ts'
import { ProblemError } from '../../model/problem.ts'
import { isFinal } from '../../model/protocol.ts'
import type { Operations } from '../../service/operations.ts'
import { CODES, membersOf, notification, RpcError } from './json-rpc.ts'
import { HEARTBEAT_MS, type McpRequest, type ReplyStream } from './request.ts'
import type { Tasks } from './tasks.ts'
import { missingTasks } from './tool-calls.ts'

const SUBSCRIPTION = 'io.modelcontextprotocol/subscriptionId'
/** How many tasks one stream reports on. */
const MAX_TASKS = 100

export class Subscriptions {
  readonly #operations: Operations
  readonly #tasks: Tasks

  constructor(operations: Operations, tasks: Tasks) {
    this.#operations = operations
    this.#tasks = tasks
  }

  /** Tasks that do not exist, or belong to another caller, are left out of the acknowledgment. */
  async listen(request: McpRequest): Promise<ReplyStream> {
    const wanted = membersOf(request.params.notifications).taskIds
    if (wanted === undefined) return this.#stream(request, undefined)
    if (!request.knowsTasks) throw missingTasks()
    return this.#stream(request, await this.#findAll(idsOf(wanted), request.http.owner))
  }

  async #findAll(ids: readonly string[], owner: string): Promise<readonly Operation[]> {
    const found = await Promise.all(ids.map(id => this.#tasks.find(id, owner).catch(ignoreUnknown)))
    return found.filter(operation => operation !== undefined)
  }

  async *#stream(request: McpRequest, operations: readonly Operation[] | undefined): ReplyStream {
    const _meta = { [SUBSCRIPTION]: request.id }
    const notifications = { taskIds: operations?.map(({ id }) => id) }
    yield notification('notifications/subscriptions/acknowledged', { _meta, notifications })
    for await (const change of merge((operations ?? []).map(one => this.#changes(one, request.http.signal)))) {
      yield change === undefined
        ? undefined
        : notification('notifications/tasks', { _meta, ...(await this.#tasks.detail(change, request)) })
    }
    return { _meta }
  }

  /** Yields the operation now and after each change; undefined for a heartbeat. Ends early in a shutdown. */
  async *#changes(operation: Operation, signal: AbortSignal): AsyncGenerator<Operation | undefined> {
    let now = operation
    yield now
    while (!isFinal(now.status) && !signal.aborted) {
      const seen = now.version
      const next = await this.#operations.wait(now, ({ version }) => version > seen, { ms: HEARTBEAT_MS, signal })
      if (!next.waited) return
      now = next.operation
      yield now.version === seen ? undefined : now
    }
  }
}

function idsOf(wanted: unknown): readonly string[] {
  const isList = Array.isArray(wanted) && wanted.length <= MAX_TASKS && wanted.every(id => typeof id === 'string')
  if (isList) return [...new Set<string>(wanted)]
  throw new RpcError(CODES.invalidParams, `"taskIds" must be a list of at most ${MAX_TASKS} strings.`)
}

function ignoreUnknown(error: unknown): undefined {
  if (!(error instanceof ProblemError) || error.problem.status >= 500) throw error
}

/** Merges several generators: yields their values as they come. */
async function* merge<T>(generators: readonly AsyncGenerator<T>[]): AsyncGenerator<T> {
  const next = async (generator: AsyncGenerator<T>) => ({ generator, result: await generator.next() })
  const pending = new Map(generators.map(generator => [generator, next(generator)]))
  while (pending.size > 0) {
    const { generator, result } = await Promise.race(pending.values())
    if (result.done) pending.delete(generator)
    else {
      pending.set(generator, next(generator))
      yield result.value
    }
  }
}
