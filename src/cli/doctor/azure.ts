/**
 * Checks whether the first execution of a Container Apps Job would start with the identity of this process. Nothing is
 * started.
 */
import { azureCredential } from '../../from-url/load-package.ts'
import { type ParsedArgs, UsageError } from '../command.ts'
import type { Findings } from './finding.ts'

const PACKAGES = '@azure/identity'
const API_VERSION = '2024-03-01'
const PERMISSIONS_VERSION = '2022-04-01'
const TIMEOUT_MS = 20_000
/** The permissions that a launcher needs. */
const ACTIONS = [
  'Microsoft.App/jobs/read',
  'Microsoft.App/jobs/start/action',
  'Microsoft.App/jobs/stop/action',
  'Microsoft.App/jobs/executions/read',
]
const ROLE = 'Give the identity the role "Container Apps Jobs Operator" on the job; it takes some minutes to hold'

/** The options of `waybill doctor azure`. */
export const AZURE_OPTIONS = {
  subscription: { value: 'ID', help: 'azure: the subscription (default: AZURE_SUBSCRIPTION_ID)' },
  'resource-group': { value: 'NAME', help: 'azure: the resource group (default: AZURE_RESOURCE_GROUP)' },
  job: { value: 'NAME', help: 'azure: the Container Apps Job (default: WAYBILL_JOB)' },
} as const

interface Answer {
  readonly status: number
  readonly body: Readonly<Record<string, unknown>>
}

export async function examineAzure(given: ParsedArgs, findings: Findings): Promise<void> {
  const named = (option: string, variable: string) => {
    const value = given.text(option) || process.env[variable]
    if (value) return encodeURIComponent(value)
    throw new UsageError(`--${option} is missing: give it, or set ${variable}.`)
  }
  const [subscription, group] = [
    named('subscription', 'AZURE_SUBSCRIPTION_ID'),
    named('resource-group', 'AZURE_RESOURCE_GROUP'),
  ]
  const job = named('job', 'WAYBILL_JOB')
  const endpoint = (process.env.AZURE_RESOURCE_MANAGER || 'https://management.azure.com').replace(/\/+$/, '')
  const token = await tokenFor(findings)
  if (token === undefined) return
  const path = `/subscriptions/${subscription}/resourceGroups/${group}/providers/Microsoft.App/jobs/${job}`
  const get = async (below: string, version = API_VERSION) =>
    await request(`${endpoint}${path}${below}?api-version=${version}`, token)
  await findings.look('job', async () => examineJob(await get(''), findings))
  await findings.look('executions', async () => {
    const { status, body } = await get('/executions')
    if (status === 200) findings.ok('executions', 'can be listed')
    else findings.fail('executions', `${describe({ status, body })}. ${ROLE}`)
  })
  await findings.look('permissions', async () => {
    const { status, body } = await get('/providers/Microsoft.Authorization/permissions', PERMISSIONS_VERSION)
    if (status === 200) examinePermissions(body, findings)
    else findings.warn('permissions', `could not be looked at: ${describe({ status, body })}`)
  })
}

async function tokenFor(findings: Findings): Promise<string | undefined> {
  try {
    const credential = await azureCredential(PACKAGES)
    const { token } = await credential.getToken('https://management.azure.com/.default')
    findings.ok('identity', `gets a token${nameIn(token)}`)
    return token
  } catch (error) {
    const [line = ''] = String((error as Error).message).split('\n')
    findings.fail(
      'identity',
      `gets no token: ${line} Assign a managed identity and set AZURE_CLIENT_ID, or log in by az login`,
    )
    return undefined
  }
}

/** The identity in the token. */
function nameIn(token: string): string {
  try {
    const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as Record<string, unknown>
    const name = claims.upn ?? claims.appid ?? claims.oid
    return typeof name === 'string' ? ` as ${name}` : ''
  } catch {
    return ''
  }
}

async function request(url: string, token: string): Promise<Answer> {
  const headers = { authorization: `Bearer ${token}` }
  const response = await fetch(url, { headers, signal: AbortSignal.timeout(TIMEOUT_MS) })
  const body = (await response.json().catch(() => ({}))) as Answer['body']
  return { status: response.status, body }
}

function describe({ status, body }: Answer): string {
  const { code, message } = Object(body.error) as { code?: string; message?: string }
  return [status, code, message].filter(Boolean).join(' ').replace(/\.$/, '')
}

function examineJob(answer: Answer, findings: Findings): void {
  if (answer.status === 200) examineProperties(answer.body.properties, findings)
  else if (answer.status !== 404) findings.fail('job', `${describe(answer)}. ${ROLE}`)
  else findings.fail('job', `${describe(answer)}. Check its name, its resource group and the subscription`)
}

interface JobProperties {
  readonly configuration?: {
    readonly triggerType?: string
    readonly replicaTimeout?: number
    readonly replicaRetryLimit?: number
    readonly manualTriggerConfig?: { readonly parallelism?: number } | null
  }
  readonly template?: { readonly containers?: readonly { readonly image?: string }[] | null }
}

function examineProperties(properties: unknown, findings: Findings): void {
  const { configuration = {}, template = {} } = Object(properties) as JobProperties
  const { triggerType, replicaTimeout, replicaRetryLimit = 0, manualTriggerConfig } = configuration
  findings.ok(
    'job',
    `is there: ${template.containers?.[0]?.image ?? 'no image'}, ${replicaTimeout} s for each execution`,
  )
  if (triggerType !== 'Manual')
    findings.warn('job', `its trigger is ${triggerType}: executions also start by themselves`)
  if (replicaRetryLimit > 0) {
    findings.warn(
      'job',
      `its retry limit is ${replicaRetryLimit}: an execution that ends with an error starts again and finds nothing to claim. Set it to 0`,
    )
  }
  const parallelism = manualTriggerConfig?.parallelism ?? 1
  if (parallelism > 1)
    findings.warn('job', `each start runs ${parallelism} replicas, of which one has work. Set the parallelism to 1`)
}

/** The actions of a launcher that a list of permissions does not allow. */
export function examinePermissions(body: Readonly<Record<string, unknown>>, findings: Findings): void {
  const permissions = (body.value ?? []) as readonly { actions?: readonly string[]; notActions?: readonly string[] }[]
  const isAllowed = (action: string) =>
    permissions.some(
      ({ actions = [], notActions = [] }) => actions.some(covers(action)) && !notActions.some(covers(action)),
    )
  const missing = ACTIONS.filter(action => !isAllowed(action))
  if (missing.length === 0) findings.ok('permissions', 'allow to read and start the job, and to stop its executions')
  else findings.fail('permissions', `do not allow ${missing.join(', ')}. ${ROLE}`)
}

/** Tells whether a pattern covers an action. A `*` in it matches anything. */
function covers(action: string): (pattern: string) => boolean {
  return pattern =>
    new RegExp(`^${pattern.replaceAll(/[.*]/g, sign => (sign === '*' ? '.*' : '\\.'))}$`, 'i').test(action)
}
