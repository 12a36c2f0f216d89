/** The admin API: what an operator sees and does over all owners, as routes under `/admin`. */

import { LONGEST_MS, readDuration } from '../../model/duration.ts'
import { parseJson } from '../../model/json.ts'
import { checkOptions } from '../../model/options.ts'
import { problemError } from '../../model/problem.ts'
import { FilterError, parseFilter } from '../../operator/filter.ts'
import type { Operator } from '../../operator/operator.ts'
import { BULK_ACTIONS, type BulkAction, type BulkTarget, type OperationDetail } from '../../operator/views.ts'
import { MAX_EVENT_BYTES } from '../../service/events.ts'
import { orUnavailable } from '../../service/unavailable.ts'
import { CHILD_STATES, type ChildState, type OperatorFilter } from '../../stores/store.ts'
import type { Waybill } from '../../waybill.ts'
import { type HttpRequest, type HttpResponse, json, jsonText } from '../message.ts'
import type { OperatorIdentity } from '../role.ts'
import { type Method, type OwnRoute, route } from '../route.ts'
import { adminDocument } from './admin-document.ts'
import { AdminEvents } from './admin-events.ts'
import { assertMayChange } from './changes.ts'
import { ADMIN_VIEW_OPTIONS, type AdminViewOptions } from './operator-identity.ts'
import { session } from './operator-session.ts'
import { type TypeView, typeView } from './types.ts'

/** The largest body of a change, in bytes: a filter and a few words. */
const BODY_LIMIT = 64 * 1024
const NO_CONTENT: HttpResponse = { status: 204, headers: {}, body: null }

type Answer = (request: HttpRequest, operator: OperatorIdentity) => HttpResponse | Promise<HttpResponse>

/**
 * Makes the routes.
 *
 * @param base what comes before every URL that is sent to a client
 * @throws {TypeError} for an unknown option, or one that cannot be right
 */
export function adminRoutes(waybill: Waybill, options: AdminViewOptions, base: string): OwnRoute[] {
  checkOptions('admin', options, ADMIN_VIEW_OPTIONS)
  const { operator } = waybill
  const events = new AdminEvents(waybill)
  return [
    look('/session', (request, who) => json(200, session(request, who, options))),
    look('/events', request => events.open(request)),
    look('/openapi.json', () => json(200, adminDocument(base))),
    look('/types', async () => json(200, { items: await typesOf(waybill) })),
    look('/statistics', async ({ query }) => json(200, await operator.statistics({ window: readWindow(query) }))),
    look('/audit', async ({ query }) => json(200, await operator.audit(readPage(query)))),
    ...operationRoutes(operator),
    ...bulkRoutes(operator),
    change('POST', '/deliveries/:id/replay', async ({ params }, who) =>
      json(200, await operator.replay(params.id ?? '', who)),
    ),
    change('POST', '/types/:name/pause', async ({ params }, who) => {
      await operator.pause(params.name ?? '', who)
      return NO_CONTENT
    }),
    change('POST', '/types/:name/resume', async ({ params }, who) => {
      await operator.resume(params.name ?? '', who)
      return NO_CONTENT
    }),
  ]
}

function operationRoutes(operator: Operator): OwnRoute[] {
  const payload = (read: (id: string) => Promise<string | undefined>): Answer => {
    return async ({ params }, { payloads }) => {
      if (!payloads) throw problemError('forbidden', 'Your role does not include payloads.')
      const text = await read(params.id ?? '')
      if (text === undefined) throw problemError('not-found')
      return jsonText(200, text)
    }
  }
  return [
    look('/operations', async ({ query }) =>
      json(200, await operator.browse(readFilter(query.get('filter') ?? ''), readPage(query))),
    ),
    look('/operations/:id', async ({ params }, { payloads }) => {
      const detail = await operator.get(params.id ?? '')
      if (detail === undefined) throw problemError('not-found')
      return json(200, payloads ? detail : withoutPayloads(detail))
    }),
    look(
      '/operations/:id/input',
      payload(id => operator.input(id)),
    ),
    look(
      '/operations/:id/result',
      payload(id => operator.output(id)),
    ),
    look('/operations/:id/log', async ({ params, query }) => {
      const after = readWhole(query, 'after', { min: 0, max: Number.MAX_SAFE_INTEGER })
      return json(200, { items: await operator.log(params.id ?? '', after) })
    }),
    look('/operations/:id/children', async ({ params, query }) => {
      const state = readState(query.get('state') ?? 'unfinished')
      return json(200, await operator.children(params.id ?? '', state, readPage(query)))
    }),
    look('/operations/:id/results', async ({ params, query }, { payloads }) => {
      const page = await operator.results(params.id ?? '', readPage(query))
      if (payloads) return json(200, page)
      return json(200, { ...page, items: page.items.map(({ output: _, ...item }) => item) })
    }),
    change('POST', '/operations/:id/cancel', async ({ params }, who) =>
      json(200, await operator.cancel(params.id ?? '', who)),
    ),
    change(
      'POST',
      '/operations/:id/retry',
      async ({ params, body }, who) => {
        const { fresh = false } = readBody(body)
        if (typeof fresh !== 'boolean') throw problemError('invalid-request', '"fresh" must be true or false.')
        return json(200, await operator.retry(params.id ?? '', who, { fresh }))
      },
      BODY_LIMIT,
    ),
    change(
      'POST',
      '/operations/:id/events/:name',
      async ({ params, body = '' }, who) => {
        const event = { name: params.name ?? '', value: parseJson(body) }
        return json(200, await operator.sendEvent(params.id ?? '', event, who))
      },
      MAX_EVENT_BYTES,
    ),
    change('DELETE', '/operations/:id', async ({ params }, who) => {
      await operator.delete(params.id ?? '', who)
      return NO_CONTENT
    }),
  ]
}

function bulkRoutes(operator: Operator): OwnRoute[] {
  return [
    look('/bulk', async () => json(200, { items: await operator.bulkRuns() })),
    look('/bulk/:id', async ({ params }) => {
      const run = await operator.bulkRun(params.id ?? '')
      if (run === undefined) throw problemError('not-found')
      return json(200, run)
    }),
    change(
      'POST',
      '/bulk/preview',
      async ({ body }) => {
        const { action, target } = readBulk(body)
        return json(200, await operator.preview(action, target))
      },
      BODY_LIMIT,
    ),
    change(
      'POST',
      '/bulk',
      async ({ body }, who) => {
        const { action, target } = readBulk(body)
        return json(202, await operator.bulk(action, target, who))
      },
      BODY_LIMIT,
    ),
    change('POST', '/bulk/:id/cancel', async ({ params }, who) =>
      json(200, await operator.cancelBulk(params.id ?? '', who)),
    ),
  ]
}

function look(path: string, answer: Answer): OwnRoute {
  return adminRoute('GET', path, answer, 0)
}

function change(method: 'POST' | 'DELETE', path: string, answer: Answer, bodyLimit = 0): OwnRoute {
  const checked: Answer = (request, operator) => {
    assertMayChange(request, operator)
    return answer(request, operator)
  }
  return adminRoute(method, path, checked, bodyLimit)
}

function adminRoute(method: Method, path: string, answer: Answer, bodyLimit: number): OwnRoute {
  const handle = async (request: HttpRequest) => {
    // A server that does not support operators has not identified one.
    if (request.operator === undefined) throw problemError('unauthenticated')
    return await answer(request, request.operator)
  }
  return route(method, `/admin${path}`, handle, { bodyLimit, admin: true })
}

async function typesOf({ operations, operator, store }: Waybill): Promise<TypeView[]> {
  const paused = operator.paused()
  const views = [...operations.types.values()].map(async type => {
    const { depth, running, oldestAt } = await orUnavailable(store.queueStats(type.name))
    return typeView(type, { paused: paused.has(type.name), depth, running, oldestAt })
  })
  return await Promise.all(views)
}

function withoutPayloads(detail: OperationDetail) {
  return { ...detail, steps: detail.steps.map(({ name }) => ({ name })) }
}

function readFilter(text: unknown): OperatorFilter {
  if (typeof text !== 'string') throw problemError('invalid-request', '"filter" must be a string.')
  try {
    return parseFilter(text)
  } catch (error) {
    if (!(error instanceof FilterError)) throw error
    throw problemError('invalid-request', error.message, { extensions: { token: error.token } })
  }
}

function readPage(query: URLSearchParams): { after?: string; limit?: number } {
  const [after, limit] = [query.get('after'), readWhole(query, 'limit', { min: 1, max: 500 })]
  return { ...(after !== null && { after }), ...(limit !== undefined && { limit }) }
}

function readState(text: string): ChildState {
  const state = CHILD_STATES.find(it => it === text)
  if (state !== undefined) return state
  throw problemError('invalid-request', `"state" must be one of ${CHILD_STATES.join(', ')}.`)
}

function readWindow(query: URLSearchParams): number | undefined {
  const text = query.get('window')
  if (text === null) return undefined
  const window = readDuration(text, { min: 1000, max: LONGEST_MS })
  if (window !== undefined) return window
  throw problemError('invalid-request', '"window" must be a duration from 1s, such as 1h.')
}

function readWhole(query: URLSearchParams, name: string, { min, max }: { min: number; max: number }) {
  const text = query.get(name)
  if (text === null) return undefined
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN
  if (value >= min && value <= max) return value
  throw problemError('invalid-request', `"${name}" must be a whole number from ${min} to ${max}.`)
}

function readBody(text = '{}'): Readonly<Record<string, unknown>> {
  const body = parseJson(text)
  if (typeof body === 'object' && body !== null && !Array.isArray(body)) return { ...body }
  throw problemError('invalid-request', 'Its body must be a JSON object.')
}

function readBulk(body: string | undefined): { readonly action: BulkAction; readonly target: BulkTarget } {
  const { action, filter, ids } = readBody(body)
  const known = BULK_ACTIONS.find(it => it === action)
  if (known === undefined) throw problemError('invalid-request', `"action" must be one of ${BULK_ACTIONS.join(', ')}.`)
  if (ids === undefined) return { action: known, target: readFilter(filter) }
  if (filter !== undefined) throw problemError('invalid-request', 'Send either "filter" or "ids".')
  return { action: known, target: { ids: readIds(ids) } }
}

function readIds(ids: unknown): string[] {
  if (Array.isArray(ids) && ids.every(id => typeof id === 'string')) return ids
  throw problemError('invalid-request', '"ids" must be a list of strings.')
}
