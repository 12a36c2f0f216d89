/** `subscriptions/listen`: a stream of the changes of tasks and resources, until all of their operations have ended. */

import type { Operation } from '../../model/operation.ts'
import type { Operations } from '../../service/operations.ts'
import { fieldsOf } from '../../util/fields.ts'
import { CODES, type Members, notification, RpcError } from './json-rpc.ts'
import { changesOf, Merged } from './operation-changes.ts'
import type { McpRequest, ReplyStream } from './request.ts'
import { ignoreUnknown, RESOURCE_UPDATED, type Resources } from './resources.ts'
import type { Tasks } from './tasks.ts'
import { missingTasks } from './tool-calls.ts'

const SUBSCRIPTION = 'io.modelcontextprotocol/subscriptionId'
/** How many tasks, and how many resources, one stream reports on. */
const MAX_NAMES = 100

/** An operation that a stream reports on, by the name that the client gave. */
interface Subject {
  readonly name: string
  readonly operation: Operation
}

/** A notification before it names its subscription. */
interface Report {
  readonly method: string
  readonly params: Members
}

export class Subscriptions {
  readonly #operations: Operations
  readonly #tasks: Tasks
  readonly #resources: Resources | undefined

  constructor(operations: Operations, tasks: Tasks, resources: Resources | undefined) {
    this.#operations = operations
    this.#tasks = tasks
    this.#resources = resources
  }

  /** What does not exist, or belongs to another caller, is left out of the acknowledgment. */
  async listen(request: McpRequest): Promise<ReplyStream> {
    const { taskIds, resourceSubscriptions } = fieldsOf(request.params.notifications)
    if (taskIds !== undefined && !request.knowsTasks) throw missingTasks()
    const tasks = await findAll('taskIds', taskIds, id => this.#tasks.find(id, request.http.owner))
    const resources = await this.#findResources(resourceSubscriptions, request)
    return this.#stream(request, tasks, resources)
  }

  async #findResources(uris: unknown, request: McpRequest): Promise<readonly Subject[] | undefined> {
    const resources = this.#resources
    return resources && (await findAll('resourceSubscriptions', uris, uri => resources.find(uri, request.http)))
  }

  async *#stream(
    request: McpRequest,
    tasks: readonly Subject[] | undefined,
    resources: readonly Subject[] | undefined,
  ): ReplyStream {
    const _meta = { [SUBSCRIPTION]: request.id }
    const notifications = { taskIds: tasks?.map(nameOf), resourceSubscriptions: resources?.map(nameOf) }
    yield notification('notifications/subscriptions/acknowledged', { _meta, notifications })
    const reports = new Merged([
      ...(tasks ?? []).map(subject => this.#taskReports(subject, request)),
      ...(resources ?? []).map(subject => this.#resourceReports(subject, request)),
    ])
    for await (const report of reports.values()) {
      yield report && notification(report.method, { _meta, ...report.params })
    }
    return { _meta }
  }

  async *#taskReports({ operation }: Subject, request: McpRequest): AsyncGenerator<Report | undefined> {
    for await (const now of changesOf(this.#operations, operation, request.http.signal)) {
      yield now && { method: 'notifications/tasks', params: await this.#tasks.detail(now, request) }
    }
  }

  async *#resourceReports({ name, operation }: Subject, { http }: McpRequest): AsyncGenerator<Report | undefined> {
    const before = operation.version
    for await (const now of changesOf(this.#operations, operation, http.signal)) {
      yield now && now.version > before ? { method: RESOURCE_UPDATED, params: { uri: name } } : undefined
    }
  }
}

function nameOf({ name }: Subject): string {
  return name
}

/** Finds those that exist, in the order of their names; undefined if the client has not named any. */
async function findAll(
  parameter: string,
  wanted: unknown,
  find: (name: string) => Promise<Operation | undefined>,
): Promise<readonly Subject[] | undefined> {
  if (wanted === undefined) return undefined
  const found = await Promise.all(
    namesOf(parameter, wanted).map(async name => ({ name, operation: await find(name).catch(ignoreUnknown) })),
  )
  return found.flatMap(({ name, operation }) => (operation === undefined ? [] : [{ name, operation }]))
}

function namesOf(parameter: string, wanted: unknown): readonly string[] {
  const isList = Array.isArray(wanted) && wanted.length <= MAX_NAMES && wanted.every(name => typeof name === 'string')
  if (isList) return [...new Set<string>(wanted)]
  throw new RpcError(CODES.invalidParams, `"${parameter}" must be a list of at most ${MAX_NAMES} strings.`)
}
