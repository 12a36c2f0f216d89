/** What a Kubernetes server may answer, replayed through the real client: a null property is the same as an absent one. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { BatchV1Api, KubeConfig, type V1JobTemplateSpec } from '@kubernetes/client-node'
import { describe, expect } from 'vitest'
import { kubernetesJob } from 'waybill/launchers/kubernetes'
import type { Launcher } from '../../../src/launchers/launcher.ts'
import { clientOf, clusterOf, IMAGE, JOB_TEMPLATE, launcherOn, programImage } from '../../support/kubernetes.ts'
import { type Variant, variantsOf } from '../../support/recorded-azure.ts'
import { type TestContext, test, until } from '../../support/waybill.ts'

const NAME = 'orders-01920000-0000-7000-8000-000000000000-0-1'
const TIME = '2026-01-01T00:00:00Z'

const metadata = {
  name: NAME,
  namespace: 'default',
  uid: 'b6f5a9c2',
  resourceVersion: '41',
  creationTimestamp: TIME,
  deletionTimestamp: TIME,
  deletionGracePeriodSeconds: 0,
  finalizers: ['foregroundDeletion'],
  labels: { 'app.kubernetes.io/managed-by': 'waybill' },
  annotations: {},
  managedFields: [{ manager: 'node', operation: 'Update', time: TIME, fieldsV1: {} }],
}

const { deletionTimestamp: _, deletionGracePeriodSeconds: __, finalizers: ___, ...present } = metadata

function conditionOf(type: string): object {
  const times = { lastProbeTime: TIME, lastTransitionTime: TIME }
  return { type, status: 'True', ...times, reason: 'PodFailurePolicy', message: 'Container failed with exit code 3' }
}

function jobOf(parts: object): object {
  return { apiVersion: 'batch/v1', kind: 'Job', metadata: present, spec: { suspend: false, backoffLimit: 0 }, ...parts }
}

const JOBS = {
  'that runs': jobOf({ status: { startTime: TIME, active: 1, ready: 1, terminating: 0, succeeded: 0, failed: 0 } }),
  'that starts': jobOf({ status: { startTime: TIME, active: 1, ready: 0, terminating: 0 } }),
  'that is suspended': jobOf({ spec: { suspend: true }, status: { conditions: [conditionOf('Suspended')] } }),
  'that is being deleted': jobOf({ metadata, status: { active: 1, ready: 0, terminating: 1 } }),
  'that has failed': jobOf({
    status: { ready: 0, failed: 1, conditions: [conditionOf('FailureTarget'), conditionOf('Failed')] },
  }),
  'that is complete': jobOf({ status: { completionTime: TIME, succeeded: 1, conditions: [conditionOf('Complete')] } }),
}

/** A server that answers every request for Jobs with one of them, or a list of it. */
async function serving(lab: TestContext): Promise<{ launcher: Launcher; show: (job: unknown, list?: object) => void }> {
  let shown: unknown
  let list = {}
  const server = createServer((request, response) => {
    const isOne = new URL(request.url ?? '', 'http://api').pathname.endsWith(NAME)
    response.setHeader('content-type', 'application/json').end(JSON.stringify(isOne ? shown : list))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  lab.onEnd(() => void server.close().closeAllConnections())
  const config = new KubeConfig()
  config.loadFromClusterAndUser(
    { name: 'replay', server: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, skipTLSVerify: true },
    { name: 'user' },
  )
  const newLauncher = () =>
    kubernetesJob(config.makeApiClient(BatchV1Api), {
      namespace: 'default',
      template: JOB_TEMPLATE,
      startupTimeout: 1000,
    })
  return {
    get launcher() {
      return newLauncher()
    },
    show(job, given = { kind: 'JobList', apiVersion: 'batch/v1', metadata: { resourceVersion: '41' }, items: [job] }) {
      shown = job
      list = given
    },
  }
}

describe.each(Object.entries(JOBS))('a Job %s', (_name, job) => {
  test('means the same with a null property and without it', async ({ lab }) => {
    const replay = await serving(lab)
    const [absent, nulls] = (['absent', 'null'] as const).map(emptiness => variantsOf(job, emptiness))
    expect(nulls?.length).toBeGreaterThan(5)
    const stateOf = async (variant: Variant | undefined) => {
      replay.show(variant?.document ?? {})
      return await replay.launcher.inspect(NAME)
    }
    for (const [index, variant] of nulls?.entries() ?? []) {
      const state = await stateOf(variant)
      expect(state, variant.path).toEqual(await stateOf(absent?.[index]))
      expect(JSON.stringify(state)).not.toMatch(/null|undefined/)
    }
  })
})

test('a Job that starts, with a deletion time of null, counts as gone after the startup time', async ({ lab }) => {
  const replay = await serving(lab)
  const job = jobOf({ metadata: { ...present, deletionTimestamp: null }, status: { active: 1, ready: 0 } })
  replay.show(job)
  const { launcher } = replay
  await until(async () => (await launcher.inspect(NAME)).kind === 'gone')
  expect(await launcher.inspect(NAME)).toMatchObject({ reason: expect.stringContaining('did not start') })
})

test('a list whose items and whose metadata are null has no Jobs', async ({ lab }) => {
  const replay = await serving(lab)
  replay.show(JOBS['that runs'], { kind: 'JobList', apiVersion: 'batch/v1', metadata: null, items: null })
  expect(await replay.launcher.inspect(NAME)).toEqual({ kind: 'alive' })
})

test('a template with null properties makes the Job that it makes without them', async ({ lab }) => {
  const emulator = await clusterOf(lab, '', { images: { [IMAGE]: programImage('') } })
  const container = { name: 'job', image: IMAGE, env: null, readinessProbe: null, resources: null }
  const pod = { metadata: null, spec: { containers: [container], readinessGates: null, volumes: null } }
  const template = {
    metadata: { labels: null, annotations: null },
    spec: { ttlSecondsAfterFinished: null, template: pod },
  }
  const request = { operationId: '01920000-0000-7000-8000-000000000000', type: 'orders', timeoutMs: 1000, attempt: 0 }
  const { api } = clientOf(emulator)
  const given = { api, template: template as unknown as V1JobTemplateSpec }
  await launcherOn(emulator, given).start({ ...request, launch: 1 })
  const bare = { spec: { template: { spec: { containers: [{ name: 'job', image: IMAGE }] } } } }
  await launcherOn(emulator, { api, template: bare }).start({ ...request, launch: 1 })
  const [first, second] = emulator.requests.filter(({ verb }) => verb === 'create').map(({ body }) => body)
  expect({ ...(first as object), metadata: 0 }).toEqual({ ...(second as object), metadata: 0 })
  expect(JSON.stringify(first)).not.toContain('null')
})
