/** The options of webhooks, and how they are read. */
import { type Duration, durationMs, LONGEST_MS, MINUTE, SECOND } from '../model/duration.ts'
import {
  BOOLEAN,
  type Checks,
  checkOptions,
  FUNCTION,
  integer,
  PUBLIC_URL,
  type RenamedOptions,
  UNCHECKED,
} from '../model/options.ts'
import { isPublicAddress, type Resolve, type Rules } from './addresses.ts'
import { hostResolver } from './resolver.ts'
import { checkSecrets, type Secrets } from './signing.ts'

/** How a composition sends webhooks. */
export interface WebhooksOptions {
  /** The secrets that sign deliveries. */
  readonly secrets: Secrets
  /** The waits before each further attempt, at most 99. Default: 5 s, 5 m, 30 m, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h. */
  readonly retries?: readonly Duration[] | undefined
  /** How long one attempt may take, from the look-up of the host to the answer, up to 1 minute. Default 15 s. */
  readonly timeout?: Duration | undefined
  /** How long a delivery and its history are kept after its end. Default 7 days. */
  readonly retention?: Duration | undefined
  /** How many deliveries this process sends at once, 1 to 10,000. Default 100. */
  readonly concurrency?: number | undefined
  /** Whether `http:` URLs are accepted too. Default false. */
  readonly allowHttp?: boolean | undefined
  /** The accepted ports. Default: any. */
  readonly ports?: readonly number[] | undefined
  /**
   * Whether webhooks may be sent to any address, including the internal network and this host: for tests. Default
   * false.
   */
  readonly allowPrivate?: boolean | undefined
  /**
   * Whether webhooks may be sent to an address (IPv4 or IPv6 in its canonical form). Default {@link isPublicAddress}.
   *
   * @example
   * const allowAddress = (address: string) => isPublicAddress(address) || address.startsWith('10.20.')
   * createWaybill({ operations, store, webhooks: { secrets: ['whsec_…'], allowAddress } })
   */
  readonly allowAddress?: ((address: string) => boolean) | undefined
  /** Finds the addresses of a host, once for each attempt. Default: the hosts file and DNS, see {@link hostResolver}. */
  readonly resolve?: Resolve | undefined
  /** The public base URL of the API, without a slash at the end. With it, events hold links. */
  readonly baseUrl?: string | undefined
  /** The longest time between two polls for due deliveries when no hint comes. Default 1 s. */
  readonly pollInterval?: Duration | undefined
  /** How long a shutdown waits for running attempts before they are cut off and handed back. Default 5 s. */
  readonly shutdownTimeout?: Duration | undefined
}

/** The options with every default filled in; durations in milliseconds. */
export interface WebhooksSettings {
  readonly secretsOf: (owner: string) => Promise<readonly string[]>
  readonly rules: Rules
  readonly resolve: Resolve
  readonly retriesMs: readonly number[]
  readonly timeoutMs: number
  readonly retentionMs: number
  readonly concurrency: number
  readonly baseUrl: string | undefined
  readonly pollIntervalMs: number
  readonly shutdownMs: number
}

const RETRIES: readonly Duration[] = ['5s', '5m', '30m', '2h', '5h', '10h', '14h', '20h', '24h']

const PORT = integer(1, 65_535)
const OPTIONS: Checks<WebhooksOptions> = {
  secrets: UNCHECKED,
  retries: { expected: 'a list of durations', test: Array.isArray },
  timeout: UNCHECKED,
  retention: UNCHECKED,
  concurrency: integer(1, 10_000),
  allowHttp: BOOLEAN,
  ports: { expected: `a list, each ${PORT.expected}`, test: ports => Array.isArray(ports) && ports.every(PORT.test) },
  allowPrivate: BOOLEAN,
  allowAddress: FUNCTION,
  resolve: FUNCTION,
  baseUrl: { ...PUBLIC_URL, test: url => PUBLIC_URL.test(url) && (url as string).length <= 1000 },
  pollInterval: UNCHECKED,
  shutdownTimeout: UNCHECKED,
}

const RENAMED: RenamedOptions<WebhooksOptions> = { scan: 'pollInterval', shutdown: 'shutdownTimeout' }

/** @throws {TypeError} for an unknown option, or one that cannot be right; the message names it */
export function readWebhookOptions(init: WebhooksOptions): WebhooksSettings {
  checkOptions('webhooks', init, OPTIONS, RENAMED)
  return {
    secretsOf: readSecrets(init.secrets),
    rules: readRules(init),
    resolve: init.resolve ?? hostResolver(),
    retriesMs: readRetries(init.retries ?? RETRIES),
    timeoutMs: durationMs('webhooks.timeout', init.timeout ?? 15 * SECOND, { min: 1, max: MINUTE }),
    retentionMs: durationMs('webhooks.retention', init.retention ?? '7d', { max: LONGEST_MS }),
    concurrency: init.concurrency ?? 100,
    baseUrl: init.baseUrl?.replace(/\/+$/, ''),
    pollIntervalMs: durationMs('webhooks.pollInterval', init.pollInterval ?? SECOND, { min: 10 }),
    shutdownMs: durationMs('webhooks.shutdownTimeout', init.shutdownTimeout ?? 5 * SECOND),
  }
}

/** Secrets in an array are checked at once, those from a function at each attempt. */
function readSecrets(secrets: Secrets): WebhooksSettings['secretsOf'] {
  if (typeof secrets === 'function') return async owner => checkSecrets(await secrets(owner))
  const checked = [...checkSecrets(secrets)]
  return async () => checked
}

function readRules({ allowHttp = false, ports, allowPrivate = false, allowAddress }: WebhooksOptions): Rules {
  if (allowPrivate && allowAddress !== undefined) {
    throw new TypeError('webhooks takes allowPrivate or allowAddress, not both.')
  }
  return { allowHttp, ports, allowAddress: allowPrivate ? () => true : (allowAddress ?? isPublicAddress) }
}

function readRetries(retries: readonly Duration[]): number[] {
  if (retries.length > 99) throw new TypeError(`webhooks.retries has ${retries.length} waits; the most is 99.`)
  return retries.map((wait, index) => durationMs(`webhooks.retries[${index}]`, wait, { max: 30 * 24 * 60 * MINUTE }))
}
