/** One Kubernetes Job for each order, in the cluster that the process runs in or that KUBECONFIG names. */
import { readFileSync } from 'node:fs'
import { BatchV1Api, KubeConfig, loadYaml, type V1JobTemplateSpec, Watch } from '@kubernetes/client-node'
import { kubernetesJob } from 'waybill/launchers/kubernetes'
import { usable } from './settings.ts'

const { ORDER_JOB_TEMPLATE: file, ORDER_JOB_IMAGE: image = 'orders', ORDER_JOB_NAMESPACE: namespace } = process.env

const { config, api } = usable(
  process.env.KUBECONFIG ? `KUBECONFIG=${process.env.KUBECONFIG}` : "The user's ~/.kube/config",
  'Set KUBECONFIG to a file that says how to reach a cluster, and as whom',
  () => {
    const config = new KubeConfig()
    config.loadFromDefault()
    return { config, api: config.makeApiClient(BatchV1Api) }
  },
)

export const dispatcher = {
  launcher: kubernetesJob(api, {
    watch: new Watch(config),
    namespace: namespace || config.getContextObject(config.getCurrentContext())?.namespace || 'default',
    template: template(),
    variable: 'ORDER_ID',
    // A cluster that has to add a node first takes minutes.
    startupTimeout: '8m',
  }),
  claimTimeout: '10m',
} as const

/** The Job in the file that ORDER_JOB_TEMPLATE names, of the image that ORDER_JOB_IMAGE names. */
function template(): V1JobTemplateSpec {
  const { metadata, spec } = file ? read(file) : { spec: undefined }
  const pod = spec?.template
  const [container = { name: 'job' }, ...others] = pod?.spec?.containers ?? []
  const containers = [{ ...container, image }, ...others]
  return {
    ...(metadata && { metadata }),
    spec: { ...spec, template: { ...pod, spec: { ...pod?.spec, containers } } },
  }
}

function read(path: string): V1JobTemplateSpec {
  return usable(`ORDER_JOB_TEMPLATE=${path}`, 'Name a file with a Job in YAML', () => {
    const job = loadYaml<V1JobTemplateSpec | undefined>(readFileSync(path, 'utf8'))
    if (job?.spec?.template === undefined) throw new Error('It has no spec.template.')
    return job
  })
}
