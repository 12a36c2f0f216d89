/**
 * The experimental tasks of revision 2025-11-25. The client requests a task with its call, polls the task, and reads
 * the result by a request that waits for the end. The stream of that request also carries questions to the client.
 */

import { isFinal } from '../../model/protocol.ts'
import { fieldsOf } from '../../util/fields.ts'
import { header } from '../message.ts'
import { CODES, type Members, RpcError } from './json-rpc.ts'
import { LEGACY, type McpRequest, type ReplyStream } from './request.ts'
import type { Tasks } from './tasks.ts'
import type { Calls } from './tool-calls.ts'

/** The member of `_meta` that says which task a message belongs to. */
const RELATED = 'io.modelcontextprotocol/related-task'

/** The capability for tasks of a server of that revision. */
export const LEGACY_TASKS: Members = { cancel: {}, requests: { tools: { call: {} } } }

/** Whether the client has the revision with these tasks. */
export function hasLegacyTasks({ http }: McpRequest): boolean {
  return header(http, 'MCP-Protocol-Version')?.trim() === LEGACY[0]
}

export class LegacyTasks {
  readonly #calls: Calls
  readonly #tasks: Tasks

  constructor(calls: Calls, tasks: Tasks) {
    this.#calls = calls
    this.#tasks = tasks
  }

  /** `tools/call` with `task` */
  async call(request: McpRequest): Promise<Members> {
    return { task: toLegacy(await this.#tasks.summary(await this.#calls.begin(request), request)) }
  }

  /** `tasks/get` */
  async get(request: McpRequest): Promise<Members> {
    return toLegacy(await this.#tasks.summary(await this.#tasks.ofRequest(request), request))
  }

  /** `tasks/cancel`. A task that has ended cannot be canceled in this revision. */
  async cancel(request: McpRequest): Promise<Members> {
    const { id, status } = await this.#tasks.ofRequest(request)
    if (isFinal(status)) throw new RpcError(CODES.invalidParams, `The task ${id} has ended: its status is "${status}".`)
    await this.#tasks.cancel(request)
    return await this.get(request)
  }

  /** `tasks/result` */
  async result(request: McpRequest): Promise<ReplyStream> {
    const operation = await this.#tasks.ofRequest(request)
    return relate(operation.id, this.#calls.follow({ operation, replayed: true }, request))
  }
}

function toLegacy({ ttlMs, pollIntervalMs, ...task }: Members): Members {
  return { ...task, ttl: ttlMs, pollInterval: pollIntervalMs }
}

/** The same stream, with the task named in each message. */
async function* relate(taskId: string, stream: ReplyStream): ReplyStream {
  const related = (members: unknown): Members => {
    const { _meta, ...rest } = fieldsOf(members)
    return { ...rest, _meta: { ...fieldsOf(_meta), [RELATED]: { taskId } } }
  }
  try {
    let next = await stream.next()
    while (!next.done) {
      yield next.value && { ...next.value, params: related(next.value.params) }
      next = await stream.next()
    }
    return related(next.value)
  } finally {
    await stream.return({})
  }
}
