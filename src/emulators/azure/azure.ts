/**
 * Azure on this machine, as far as the article's system needs it: Azure Resource Manager for Container Apps Jobs, whose
 * executions are processes, and a managed identity. The real SDKs talk to it. For tests, and to try the whole system
 * with no subscription; everything is on the loopback.
 *
 * @example
 * const azure = await emulateAzure({ jobs: [{ name: 'orders-job', command: ['node', 'job.ts'] }] })
 * spawn('node', ['api.ts'], { env: { ...process.env, ...azure.environment } })
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Duration, toMs } from '../../model/duration.ts'
import type { TokenRate } from '../../util/token-bucket.ts'
import { makeCertificate } from '../certificate.ts'
import { ArmServer, type StartAnswer } from './arm.ts'
import type { Execution } from './execution.ts'
import type { ArmRequest, Faults } from './faults.ts'
import { EmulatedJob, type EmulatedJobInit } from './job.ts'
import { Machine } from './machine.ts'
import { ManagedIdentity } from './managed-identity.ts'

export type { Execution } from './execution.ts'
export type { ArmRequest, ArmRequestKind, Fault, Faults } from './faults.ts'
export type { EmulatedContainer, EmulatedJobInit, EmulatedTemplate } from './job.ts'

/** Options of {@link emulateAzure}. */
export interface EmulateAzureOptions {
  readonly jobs: readonly EmulatedJobInit[]
  /** Default: `00000000-0000-0000-0000-000000000000`. */
  readonly subscription?: string | undefined
  /** Default: `local`. */
  readonly resourceGroup?: string | undefined
  /** Where Azure Resource Manager listens. Default: a free port. */
  readonly port?: number | undefined
  /** How many executions run at once. Default 16; more are `Processing` until it is their turn. */
  readonly parallel?: number | undefined
  /** How long an execution waits before its process runs. On Azure it is some 30 seconds. Default 0. */
  readonly coldStart?: Duration | undefined
  /** How long a new execution is missing in listings and by its name: the service's listings are late. Default 0. */
  readonly listDelay?: Duration | undefined
  /** The time between SIGTERM and SIGKILL when an execution is stopped. Default 30 s, as on Azure. */
  readonly gracePeriod?: Duration | undefined
  /** The destination of the output of executions. Default: `inherit`. */
  readonly output?: 'inherit' | 'ignore' | undefined
  /** How starts are answered. Default: `202`, with the name of the execution. */
  readonly startAnswer?: StartAnswer | undefined
  /** How many executions a page of a listing has. Default 20. */
  readonly pageSize?: number | undefined
  /**
   * The rate limits of a subscription. Default: as on Azure, 25 reads a second and 250 at once, 10 writes a second and
   * 200 at once.
   */
  readonly throttle?: { readonly reads?: TokenRate; readonly writes?: TokenRate } | undefined
  /** Makes requests fail. It can be replaced while it runs. */
  readonly faults?: Faults | undefined
}

/** What {@link emulateAzure} makes. */
export interface EmulatedAzure {
  readonly subscription: string
  readonly resourceGroup: string
  /** The `endpoint` option of `ContainerAppsAPIClient`. */
  readonly endpoint: string
  /** The server's certificate in PEM, made for this run: the client's `tlsOptions.ca`. */
  readonly certificate: string
  /**
   * The environment of an application that talks to it: the managed identity, `NODE_EXTRA_CA_CERTS`,
   * `AZURE_SUBSCRIPTION_ID`, `AZURE_RESOURCE_GROUP`, `WAYBILL_JOB`, which is the first job, and
   * `AZURE_RESOURCE_MANAGER`, which is the endpoint.
   */
  readonly environment: Readonly<Record<string, string>>
  /** Every request to Azure Resource Manager, in order. */
  readonly requests: readonly ArmRequest[]
  /** How many tokens were asked for. */
  readonly tokenRequests: number
  /** Executions that were started, in order, including those that the engine has lost. */
  readonly executions: readonly Execution[]
  /** A job, whose template may be replaced. */
  job(name: string): EmulatedJob
  /** Issues a token for Azure Resource Manager, or another resource. */
  token(resource?: string): string
  /** Whether a token was issued for a resource and is still valid, for other services that the test emulates. */
  admits(token: string, resource: string): boolean
  /** Makes requests fail; undefined: stops that. */
  fail(faults: Faults | undefined): void
  /** Ends every execution and frees everything. */
  close(): Promise<void>
}

const READS: TokenRate = { perSecond: 25, burst: 250 }
const WRITES: TokenRate = { perSecond: 10, burst: 200 }

/**
 * Starts an emulator of Azure's Container Apps Jobs on this machine.
 *
 * @throws when the port is taken
 *
 * @example
 * const azure = await emulateAzure({ jobs: [{ name: 'orders-job', command: ['node', 'job.ts'] }] })
 * console.log(azure.executions.length)
 * await azure.close()
 */
export async function emulateAzure(options: EmulateAzureOptions): Promise<EmulatedAzure> {
  const { subscription = '00000000-0000-0000-0000-000000000000', resourceGroup = 'local', throttle = {} } = options
  const jobs = new Map(options.jobs.map(init => [init.name, new EmulatedJob(init)]))
  const certificate = makeCertificate()
  const folder = mkdtempSync(join(tmpdir(), 'waybill-azure-'))
  const certificateFile = join(folder, 'localhost.pem')
  writeFileSync(certificateFile, certificate.cert)
  const identity = new ManagedIdentity()
  await identity.listen()
  const identityEnvironment = { IDENTITY_ENDPOINT: identity.endpoint, IDENTITY_HEADER: identity.secret }
  const machine = new Machine({
    env: { ...identityEnvironment, NODE_EXTRA_CA_CERTS: certificateFile },
    graceMs: toMs(options.gracePeriod ?? '30s'),
    output: options.output ?? 'inherit',
    parallel: options.parallel ?? 16,
    coldStartMs: toMs(options.coldStart ?? 0),
    listDelayMs: toMs(options.listDelay ?? 0),
  })
  const server = new ArmServer({
    subscription,
    resourceGroup,
    jobs,
    machine,
    identity,
    certificate,
    startAnswer: options.startAnswer ?? '202',
    pageSize: options.pageSize ?? 20,
    reads: throttle.reads ?? READS,
    writes: throttle.writes ?? WRITES,
    faults: options.faults,
  })
  const close = async () => {
    await Promise.all([server.close(), identity.close(), machine.close()])
    rmSync(folder, { recursive: true, force: true })
  }
  try {
    await server.listen(options.port ?? 0)
  } catch (error) {
    await close()
    throw error
  }
  const environment = {
    ...identityEnvironment,
    AZURE_TOKEN_CREDENTIALS: 'ManagedIdentityCredential',
    AZURE_SUBSCRIPTION_ID: subscription,
    AZURE_RESOURCE_GROUP: resourceGroup,
    WAYBILL_JOB: options.jobs[0]?.name ?? '',
    AZURE_RESOURCE_MANAGER: server.endpoint,
    NODE_EXTRA_CA_CERTS: certificateFile,
  }
  return {
    subscription,
    resourceGroup,
    endpoint: server.endpoint,
    certificate: certificate.cert,
    environment,
    requests: server.requests,
    get tokenRequests() {
      return identity.requests
    },
    executions: machine.executions,
    job: name => {
      const job = jobs.get(name)
      if (job === undefined) throw new TypeError(`There is no job "${name}". There is: ${[...jobs.keys()].join(', ')}.`)
      return job
    },
    token: (resource = 'https://management.azure.com') => identity.issue(resource),
    admits: (token, resource) => identity.admits(token, resource),
    fail: faults => {
      server.faults = faults
    },
    close,
  }
}
