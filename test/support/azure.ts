/** Azure of this machine, and launchers that talk to it through the real SDK. */
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ContainerAppsAPIClient } from '@azure/arm-appcontainers'
import { type EmulateAzureOptions, type EmulatedAzure, emulateAzure } from 'waybill/emulators/azure'
import {
  type ContainerAppsClient,
  type ContainerAppsJobOptions,
  containerAppsJob,
} from 'waybill/launchers/container-apps'
import type { Launcher, LaunchRequest } from '../../src/launchers/launcher.ts'
import type { TestContext } from './waybill.ts'

export const JOB = 'orders-job'

/** An azure with one job, of a command that is a program or a file of `fixtures`. */
export async function azureOf(
  lab: TestContext,
  command: string | URL,
  options: Partial<EmulateAzureOptions> & { readonly env?: Readonly<Record<string, string>> } = {},
): Promise<EmulatedAzure> {
  const { env = {}, ...rest } = options
  const args = typeof command === 'string' ? ['-e', command] : [fileURLToPath(command)]
  const job = { name: JOB, command: ['node', ...args], env: { NODE_COMPILE_CACHE: COMPILE_CACHE, ...env } }
  const azure = await emulateAzure({ jobs: [job], ...rest })
  lab.onEnd(() => azure.close())
  return azure
}

/** Where the processes of tests keep what they have compiled: hundreds of them start. */
const COMPILE_CACHE = join(tmpdir(), 'waybill-compile-cache')

/** The real client, with a credential whose tokens the azure takes. */
export function clientOf(azure: EmulatedAzure, getToken = async () => azure.token()): ContainerAppsAPIClient {
  // So short a life has the SDK ask for each request.
  const credential = { getToken: async () => ({ token: await getToken(), expiresOnTimestamp: Date.now() + 100 }) }
  return new ContainerAppsAPIClient(credential, azure.subscription, {
    endpoint: azure.endpoint,
    tlsOptions: { ca: azure.certificate },
  })
}

/** A launcher of the azure's job; what it warns of is kept in `warnings`. */
export function launcherOf(
  lab: TestContext,
  azure: EmulatedAzure,
  options: Partial<ContainerAppsJobOptions> & { readonly client?: ContainerAppsClient } = {},
): { launcher: Launcher; warnings: string[] } {
  const { client = clientOf(azure), ...rest } = options
  const warnings: string[] = []
  const launcher = containerAppsJob(client, {
    resourceGroup: azure.resourceGroup,
    job: JOB,
    settleTimeout: 300,
    warn: message => warnings.push(message),
    ...rest,
  })
  lab.onEnd(() => launcher.close?.())
  return { launcher, warnings }
}

/** A request for a start. */
export function requestFor(operationId: string, rest: Partial<LaunchRequest> = {}): LaunchRequest {
  return { operationId, type: 'orders', timeoutMs: 60_000, attempt: 0, launch: 1, ...rest }
}

/** How often the azure was asked for something. */
export function countOf(azure: EmulatedAzure, kind: EmulatedAzure['requests'][number]['kind']): number {
  return azure.requests.filter(it => it.kind === kind).length
}

/** Has the first request of a kind fail, this many times. */
export function failFirst(
  azure: EmulatedAzure,
  kind: EmulatedAzure['requests'][number]['kind'],
  fault: ReturnType<NonNullable<EmulateAzureOptions['faults']>>,
  times = 1,
): void {
  let left = times
  azure.fail(request => (request.kind === kind && left-- > 0 ? fault : undefined))
}
