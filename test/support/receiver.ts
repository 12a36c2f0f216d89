/** A receiver of webhooks: a real server on the loopback that keeps what it is sent. */
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { Webhook } from 'standardwebhooks'
import { defineOperation, handler, ProblemError } from 'waybill'
import type { WebhookEvent, WebhooksOptions } from 'waybill/webhooks'
import type { Waybill, WaybillOptions } from '../../src/waybill.ts'
import type { TestContext } from './waybill.ts'

/** One request that a receiver got. */
export interface Delivered {
  readonly method: string | undefined
  readonly url: string | undefined
  readonly headers: Record<string, string>
  readonly body: string
}

/** Answers the nth request, from 1. */
export type Answerer = (n: number, response: ServerResponse) => void

export interface Receiver {
  readonly url: string
  readonly port: number
  readonly got: Delivered[]
}

/** Answers with these statuses, request by request; the last one stays. */
export function statuses(...all: number[]): Answerer {
  return (n, response) => void response.writeHead(all[n - 1] ?? all.at(-1) ?? 204).end()
}

export interface ReceiverOptions {
  readonly answer?: Answerer
  readonly host?: string
  readonly port?: number
  readonly tls?: { readonly key: string; readonly cert: string }
}

export async function startReceiver(lab: TestContext, options: ReceiverOptions = {}): Promise<Receiver> {
  const { answer = statuses(204), host = '127.0.0.1', tls } = options
  const got: Delivered[] = []
  const listener = async (request: IncomingMessage, response: ServerResponse) => {
    const body = await text(request)
    const headers = request.headers as Record<string, string>
    got.push({ method: request.method, url: request.url, headers, body })
    answer(got.length, response)
  }
  const take = (request: IncomingMessage, response: ServerResponse) => void listener(request, response)
  const server = tls ? https.createServer(tls, take) : http.createServer(take)
  await new Promise<void>(resolve => server.listen(options.port ?? 0, host, resolve))
  lab.onEnd(() => {
    server.closeAllConnections()
    return new Promise(resolve => server.close(resolve))
  })
  const { port } = server.address() as AddressInfo
  return { url: `${tls ? 'https' : 'http'}://${host}:${port}/hooks`, port, got }
}

/** A secret of this many equal bytes. */
export function secret(byte: number, bytes = 32): string {
  return `whsec_${Buffer.alloc(bytes, byte).toString('base64')}`
}

export const SECRET = secret(7)

/** Verifies as a receiver does, and gives the event. */
export function verified({ body, headers }: Delivered, by = SECRET): WebhookEvent {
  return new Webhook(by).verify(body, headers) as WebhookEvent
}

/** Does what its input says: fails, waits for a cancel, or completes. */
export const parcels = defineOperation({ name: 'parcel-runs', allowWebhooks: true, attempts: 1 })

export const carry = handler(parcels, async (input, job) => {
  if (input === 'fail') throw new ProblemError({ status: 422, title: 'Too heavy', detail: 'It weighs a ton.' })
  if (input === 'wait')
    await new Promise((_, reject) => job.signal.addEventListener('abort', () => reject(job.signal.reason)))
  return { secretOutput: input }
})

/** Webhooks for tests: to the loopback, without waits. */
export const QUICK: WebhooksOptions = {
  secrets: [SECRET],
  allowHttp: true,
  allowPrivate: true,
  retries: [0, 0, 0],
  pollInterval: 20,
  shutdownTimeout: 0,
}

/** A composition that carries parcels and sends webhooks. */
export async function carrier(
  lab: TestContext,
  webhooks: Partial<WebhooksOptions> = {},
  options: Partial<WaybillOptions> = {},
): Promise<Waybill & { readonly webhooks: NonNullable<Waybill['webhooks']> }> {
  const waybill = await lab.waybill([parcels], {
    worker: { handlers: carry },
    webhooks: { ...QUICK, ...webhooks },
    ...options,
  })
  if (waybill.webhooks === undefined) throw new Error('It has no webhooks.')
  return { ...waybill, webhooks: waybill.webhooks }
}

/** Submits a parcel run whose end is told to the URL; gives its id. */
export async function send(waybill: Waybill, webhookUrl: string, input: unknown = 'ok', owner = ''): Promise<string> {
  const { operation } = await waybill.operations.submit(parcels, { input, webhookUrl, owner })
  return operation.id
}

/** A certificate for hooks.test that nobody vouches for, valid for a hundred years. */
export const SELF_SIGNED = {
  key: `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgnmpr//XvGbkiL1kM
L64yJXuLNRGfSbExyVDYkaL+Ep2hRANCAAQ1BHocmdTWsixL1bu8ssWVgCJgueiP
oSURv+JubjpF3Ux5z1lEqFmG3rrDq64bTRQh4xcjEAT95kK5onbXpmzr
-----END PRIVATE KEY-----`,
  cert: `-----BEGIN CERTIFICATE-----
MIIBlzCCAT6gAwIBAgIUPgP7POyQ8/1NvOS6Lk5V8luwY7IwCgYIKoZIzj0EAwIw
FTETMBEGA1UEAwwKaG9va3MudGVzdDAgFw0yNjExMjQwNzIwMDhaGA8yMTI2MTAz
MTA3MjAwOFowFTETMBEGA1UEAwwKaG9va3MudGVzdDBZMBMGByqGSM49AgEGCCqG
SM49AwEHA0IABDUEehyZ1NayLEvVu7yyxZWAImC56I+hJRG/4m5uOkXdTHnPWUSo
WYbeusOrrhtNFCHjFyMQBP3mQrmidtembOujajBoMB0GA1UdDgQWBBRabMsuQquu
CRZTP8nLV5gkdXTOJjAfBgNVHSMEGDAWgBRabMsuQquuCRZTP8nLV5gkdXTOJjAP
BgNVHRMBAf8EBTADAQH/MBUGA1UdEQQOMAyCCmhvb2tzLnRlc3QwCgYIKoZIzj0E
AwIDRwAwRAIgEvkPiLWh6JQbUSjW0WtuIUKgEVK7TfkUdTgLuhxvP+ICICnkPhYq
sAr979saatTO9xon+eAwN36STze43YrzI2QU
-----END CERTIFICATE-----`,
}
