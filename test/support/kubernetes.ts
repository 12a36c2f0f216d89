/** The Kubernetes API of the tests, and the real client for it. */
import { BatchV1Api, KubeConfig, type V1JobTemplateSpec, Watch } from '@kubernetes/client-node'
import {
  emulateKubernetes,
  type KubernetesEmulator,
  type KubernetesEmulatorOptions,
} from 'waybill/emulators/kubernetes'
import { type KubernetesJobOptions, type KubernetesJobsApi, kubernetesJob } from 'waybill/launchers/kubernetes'
import type { Launcher } from '../../src/launchers/launcher.ts'
import type { TestContext } from './waybill.ts'

/** The image of {@link JOB_TEMPLATE}. */
export const IMAGE = 'registry.test/job:1'

/** A template as a user writes it. */
export const JOB_TEMPLATE: V1JobTemplateSpec = {
  metadata: { labels: { team: 'orders' } },
  spec: { template: { spec: { containers: [{ name: 'job', image: IMAGE }] } } },
}

/** A cluster with one image: the job entry file of the tests, on a store. */
export async function clusterOf(
  lab: TestContext,
  path: string,
  options: KubernetesEmulatorOptions = {},
  worker: object = {},
): Promise<KubernetesEmulator> {
  const image = jobImage(path, worker)
  const emulator = await emulateKubernetes({ secondDuration: 100, images: { [IMAGE]: image }, ...options })
  lab.onEnd(() => emulator.close())
  return emulator
}

/** The job entry file of the tests, on a store, as an image. */
export function jobImage(path: string, worker: object = {}) {
  return {
    entrypoint: [process.execPath, new URL('../fixtures/job.ts', import.meta.url).pathname],
    env: {
      NODE_OPTIONS: process.env.NODE_OPTIONS ?? '',
      TEST_STORE: path,
      TEST_WORKER: JSON.stringify({ niceness: 0, ...worker }),
    },
  }
}

/** An image that runs a line of a program. */
export function programImage(program: string, env: Record<string, string> = {}) {
  return { entrypoint: [process.execPath, '--input-type=module', '--eval', program], env }
}

/** The real client. */
export function clientOf(
  emulator: KubernetesEmulator,
  credential?: Parameters<KubernetesEmulator['kubeconfig']>[0],
): { config: KubeConfig; api: BatchV1Api; watch: Watch } {
  const config = new KubeConfig()
  config.loadFromString(emulator.kubeconfig(credential))
  return { config, api: config.makeApiClient(BatchV1Api), watch: new Watch(config) }
}

/** Options of a launcher, and its client. */
export type LauncherSetup = Partial<KubernetesJobOptions> & { readonly api?: KubernetesJobsApi }

/** A launcher on the real client. */
export function launcherOn(
  emulator: KubernetesEmulator,
  { api = clientOf(emulator).api, ...options }: LauncherSetup = {},
): Launcher {
  return kubernetesJob(api, { namespace: 'default', template: JOB_TEMPLATE, warn: () => {}, ...options })
}
