/** Checks by a dry run whether the first Job would be created with this user or service account. No Job is kept. */
import { load } from '../../from-url/load-package.ts'
import type { ParsedArgs } from '../command.ts'
import type { Findings } from './finding.ts'

const PACKAGE = '@kubernetes/client-node'
const CURE = 'allow create, get, list, watch and delete of jobs in a Role, and bind it to the service account'

/** The options of `waybill doctor kubernetes`. */
export const KUBERNETES_OPTIONS = {
  namespace: { value: 'NAME', help: 'kubernetes: the namespace of the jobs (default: that of the context)' },
  image: { value: 'NAME', help: 'kubernetes: the image of the job (default orders)' },
} as const

export async function examineKubernetes(given: ParsedArgs, findings: Findings): Promise<void> {
  const { BatchV1Api, KubeConfig } = await load<typeof import('@kubernetes/client-node')>(PACKAGE, PACKAGE)
  const config = new KubeConfig()
  config.loadFromDefault()
  const context = config.getContextObject(config.getCurrentContext())
  const namespace = given.text('namespace') ?? context?.namespace ?? 'default'
  const server = config.getCurrentCluster()?.server
  if (server === undefined) {
    findings.fail('cluster', 'none is configured: set KUBECONFIG, or run it in a pod with a service account')
    return
  }
  findings.ok('cluster', `${server}, namespace ${namespace}`)
  const api = config.makeApiClient(BatchV1Api)
  const name = `waybill-doctor-${Date.now().toString(36)}`
  const container = { name: 'job', image: given.text('image') ?? 'orders' }
  const template = { spec: { containers: [container], restartPolicy: 'Never' } }
  const body = { apiVersion: 'batch/v1', kind: 'Job', metadata: { name }, spec: { template, backoffLimit: 0 } }
  await attempt('create', findings, () => api.createNamespacedJob({ namespace, body, dryRun: 'All' }))
  await attempt('list', findings, () => api.listNamespacedJob({ namespace, limit: 1 }))
  await attempt('get', findings, () => api.readNamespacedJob({ namespace, name }))
  await attempt('delete', findings, () => api.deleteNamespacedJob({ namespace, name, dryRun: 'All' }))
}

/** Rights are checked before a Job is looked up, so a 404 for a missing Job shows that the rights suffice. */
async function attempt(verb: string, findings: Findings, send: () => Promise<unknown>): Promise<void> {
  try {
    await send()
    findings.ok(`${verb} jobs`, 'is allowed')
  } catch (error) {
    const { code, message } = problemOf(error)
    if (code === 404 && (verb === 'get' || verb === 'delete')) findings.ok(`${verb} jobs`, 'is allowed')
    else findings.fail(`${verb} jobs`, code === 403 ? `${message}: ${CURE}, or raise the quota` : message)
  }
}

/** The message of the API: errors of the client hold the response as a string. */
function problemOf(error: unknown): { code: number | undefined; message: string } {
  const { code, body, message } = error as { code?: unknown; body?: unknown; message?: string }
  try {
    const status = (typeof body === 'string' ? JSON.parse(body) : body) as { message?: string } | undefined
    if (status?.message !== undefined) return { code: Number(code), message: status.message }
  } catch {
    // It is not JSON.
  }
  const cause = (error as { cause?: { message?: string } }).cause?.message
  return { code: typeof code === 'number' ? code : undefined, message: cause ?? message ?? String(error) }
}
