/** Azure's own poller, as its generated SDKs use it, completes, fails and cancels orders. */
import {
  createHttpPoller,
  type OperationResponse,
  type OperationState,
  type PollerLike,
  type RunningOperation,
} from '@azure/core-lro'
import {
  createDefaultHttpClient,
  createHttpHeaders,
  createPipelineFromOptions,
  createPipelineRequest,
  type HttpMethods,
} from '@azure/core-rest-pipeline'
import { describe, expect } from 'vitest'
import { OrderServer, orders, type Wish } from '../support/order-server.ts'
import { type Api, serveFastify } from '../support/servers.ts'
import { hasStatus, type TestContext, test } from '../support/waybill.ts'

const client = createDefaultHttpClient()
const pipeline = createPipelineFromOptions({ retryOptions: { maxRetries: 0 } })

/** One request through the pipeline of the SDKs, in the shape that the poller takes. */
async function send(method: HttpMethods, url: string, body?: unknown): Promise<OperationResponse> {
  const headers = createHttpHeaders({ accept: 'application/json', 'content-type': 'application/json' })
  const content = body === undefined ? {} : { body: JSON.stringify(body) }
  const request = createPipelineRequest({ method, url, headers, allowInsecureConnection: true, ...content })
  const { status, headers: told, bodyAsText } = await pipeline.sendRequest(client, request)
  const parsed: unknown = bodyAsText ? JSON.parse(bodyAsText) : undefined
  const rawResponse = { statusCode: status, request: { method, url }, headers: told.toJSON(), body: parsed }
  return { flatResponse: parsed, rawResponse }
}

/** @param hidden a header of the first answer that the client does not know */
function operation({ url }: Api, wish: Wish, hidden?: string): RunningOperation {
  return {
    sendInitialRequest: async () => {
      const response = await send('POST', `${url}/orders`, { wish })
      if (hidden !== undefined) delete response.rawResponse.headers[hidden]
      return response
    },
    sendPollRequest: path => send('GET', new URL(path, url).href),
  }
}

type Poller = PollerLike<OperationState<unknown>, unknown>

const MODES = {
  'Operation-Location': { dialect: 'redirect' },
  Location: { dialect: 'accepted', hidden: 'operation-location' },
} as const

for (const [name, { dialect, ...known }] of Object.entries(MODES)) {
  describe(`the poller, led by ${name},`, () => {
    async function start(lab: TestContext, wish: Wish) {
      const desk = new OrderServer()
      const waybill = await lab.waybill([orders], { worker: { handlers: desk.handlers } })
      const api = await serveFastify(lab, waybill, { dialect })
      const poller: Poller = createHttpPoller(operation(api, wish, 'hidden' in known ? known.hidden : undefined))
      await poller.submitted()
      const [{ id } = { id: '' }] = await waybill.store.list({ type: 'orders', owner: '', limit: 1 })
      return { desk, waybill, api, poller, id }
    }

    test('gets the result of an order', async ({ lab }) => {
      const { desk, poller, id } = await start(lab, 'hold')
      const seen: string[] = []
      poller.onProgress(({ status }) => {
        seen.push(status)
        desk.letGo()
      })
      expect(await poller.pollUntilDone()).toEqual({ id, status: 'completed', order: { packed: true } })
      expect(seen).toContain('running')
      expect(poller.operationState?.status).toBe('succeeded')
    })

    test('gets the error of a failed order', async ({ lab }) => {
      const { waybill, poller, id } = await start(lab, 'fail')
      await hasStatus(waybill.store, id, 'failed')
      // Of a problem at the result's own URL it understands the status code alone.
      const told = dialect === 'redirect' ? /out-of-stock/ : 'The long-running operation has failed'
      await expect(poller.pollUntilDone()).rejects.toThrow(told)
      expect(poller.operationState?.status).toBe('failed')
    })

    test('learns that an order was canceled', async ({ lab }) => {
      const { waybill, api, poller, id } = await start(lab, 'hold')
      await hasStatus(waybill.store, id, 'running')
      const canceled = await send('POST', `${api.url}/operations/${id}:cancel`)
      expect(canceled.rawResponse).toMatchObject({ statusCode: 200, body: { id } })
      await hasStatus(waybill.store, id, 'canceled')
      await expect(poller.pollUntilDone()).rejects.toThrow()
      // A poller that goes by status codes alone knows no cancel: 410 is a failure to it.
      expect(poller.operationState?.status).toBe(dialect === 'redirect' ? 'canceled' : 'failed')
    })

    test('resumes from its saved state', async ({ lab }) => {
      const { desk, poller, api, id } = await start(lab, 'hold')
      const kept = await poller.serialize()
      const restored: Poller = createHttpPoller(operation(api, 'crash'), { restoreFrom: kept })
      desk.letGo()
      expect(await restored.pollUntilDone()).toMatchObject({ id, status: 'completed' })
    })
  })
}
