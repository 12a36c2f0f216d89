/** The manifests and the Dockerfile: checked against the client's own models, against each other, and against our code. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  dumpYaml,
  loadYaml,
  type V1Deployment,
  type V1Job,
  type V1JobSpec,
  type V1NetworkPolicy,
  type V1PodDisruptionBudget,
  type V1PodTemplateSpec,
  type V1Role,
  type V1RoleBinding,
  type V1Service,
} from '@kubernetes/client-node'
import { describe, expect, it } from 'vitest'
import { emulateKubernetes } from 'waybill/emulators/kubernetes'
import { postgresStore } from 'waybill/stores/postgres'
import { Operations } from '../../src/service/operations.ts'
import { DEFAULT_SCHEMA } from '../../src/stores/postgres/schema.ts'
import { EXAMPLE, startApp, temporaryFolder } from '../support/app.ts'
import { plays } from '../support/handlers.ts'
import { clientOf, launcherOn, programImage } from '../support/kubernetes.ts'
import { onlyLong } from '../support/length.ts'
import { testDatabase } from '../support/postgres.ts'
import { test, until } from '../support/waybill.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const FOLDER = join(ROOT, 'deploy/kubernetes')
/** Kinds that the client has no models of. */
const FOREIGN = ['Kustomization', 'Component', 'ScaledJob', 'TriggerAuthentication']

interface Manifest {
  readonly file: string
  readonly text: string
  /** What the text says, with fields that no model has. */
  readonly raw: { readonly apiVersion?: string; readonly kind?: string; readonly metadata?: { readonly name?: string } }
}

interface ScaledJob {
  readonly spec: {
    readonly jobTargetRef: V1JobSpec
    readonly triggers: readonly { readonly type: string; readonly metadata: { readonly query: string } }[]
  }
}

/** A document without any model: the client drops what its models do not have, but leaves alone what it does not know. */
function readRaw(text: string): Manifest['raw'] {
  return loadYaml<{ raw: Manifest['raw'] }>(`raw:\n${text.replace(/^/gm, '  ')}`).raw
}

const manifests: readonly Manifest[] = readdirSync(FOLDER, { recursive: true, encoding: 'utf8' })
  .filter(file => file.endsWith('.yaml'))
  .flatMap(file =>
    readFileSync(join(FOLDER, file), 'utf8')
      .split(/^---$/m)
      .map(text => ({ file, text, raw: readRaw(text) })),
  )

/** The manifest of a kind and a name, in a file that the path begins. */
function manifest<Kind>(kind: string, name: string | undefined, path = ''): Kind {
  const found = manifests.find(
    ({ file, raw }) => file.startsWith(path) && raw.kind === kind && raw.metadata?.name === name,
  )
  if (found === undefined) throw new Error(`There is no ${kind} ${name}.`)
  return loadYaml<Kind>(found.text)
}

const deployment = manifest<V1Deployment>('Deployment', 'orders-api', 'base')
const patch = manifest<V1Deployment>('Deployment', 'orders-api', 'jobs')
const job = manifest<V1Job>('Job', undefined, 'jobs')
const role = manifest<V1Role>('Role', 'orders-jobs')
const drain = manifest<ScaledJob>('ScaledJob', 'orders-drain')
const drainPod = drain.spec.jobTargetRef.template
const worker = manifest<V1Deployment>('Deployment', 'orders-worker')

/** Each pod of the deployment, by what it is. */
const pods: readonly [string, V1PodTemplateSpec | undefined][] = [
  ['the API', deployment.spec?.template],
  ['a Job', job.spec?.template],
  ['a drain', drainPod],
  ['a worker', worker.spec?.template],
]

function environmentOf(...deployments: readonly V1Deployment[]): Record<string, string> {
  const variables = deployments.flatMap(it => it.spec?.template.spec?.containers[0]?.env ?? [])
  return Object.fromEntries(variables.map(({ name, value = '' }) => [name, value]))
}

describe('each manifest', () => {
  const known = manifests.filter(({ file, raw }) => !FOREIGN.includes(raw.kind ?? '') && !file.endsWith('keda.yaml'))

  it.each(known.map(it => [`${it.file} ${it.raw.kind}`, it] as const))(
    '%s has no field that its kind has not',
    (_, it) => {
      expect(it.raw.apiVersion).toMatch(/v1$/)
      expect(readRaw(dumpYaml(loadYaml(it.text)))).toEqual(it.raw)
    },
  )

  it('of KEDA makes Jobs that have no field that Jobs have not', () => {
    const found = manifests.find(({ raw }) => raw.kind === 'ScaledJob')?.raw as ScaledJob
    const { jobTargetRef } = found.spec
    const asJob = dumpYaml({ apiVersion: 'batch/v1', kind: 'Job', spec: jobTargetRef })
    expect(readRaw(asJob)).toMatchObject({ spec: jobTargetRef })
  })

  it('is named by its kustomization, and each that is named is there', () => {
    for (const folder of ['base', 'worker', 'jobs', 'drain', 'network-policies']) {
      const named = readFileSync(join(FOLDER, folder, 'kustomization.yaml'), 'utf8').match(/[\w-]+\.yaml/g) ?? []
      const there = readdirSync(join(FOLDER, folder)).filter(file => file !== 'kustomization.yaml')
      expect(named.toSorted()).toEqual(there.toSorted())
    }
  })
})

describe('in the manifests', () => {
  it('each selector finds the pods of the API', () => {
    const labels = deployment.spec?.template.metadata?.labels
    const budget = manifest<V1PodDisruptionBudget>('PodDisruptionBudget', 'orders-api')
    const policies = ['orders-api', 'orders-outside'].map(name => manifest<V1NetworkPolicy>('NetworkPolicy', name))
    const selectors = [
      deployment.spec?.selector.matchLabels,
      manifest<V1Service>('Service', 'orders-api').spec?.selector,
      budget.spec?.selector?.matchLabels,
      ...policies.map(policy => policy.spec?.podSelector?.matchLabels),
    ]
    for (const selector of selectors) expect(labels).toMatchObject(selector ?? { none: '' })
    const others = pods.map(([, pod]) => pod?.metadata?.labels).filter(it => it !== labels)
    expect(others).toHaveLength(3)
    for (const it of others) expect(it).not.toMatchObject(labels ?? {})
    expect(worker.spec?.template.metadata?.labels).toMatchObject(worker.spec?.selector.matchLabels ?? { none: '' })
  })

  it('each service account is there, and only the API that starts Jobs has a token', () => {
    for (const [, pod] of pods) {
      const account = manifest<{ automountServiceAccountToken: boolean }>(
        'ServiceAccount',
        pod?.spec?.serviceAccountName,
      )
      expect(account.automountServiceAccountToken).toBe(false)
    }
    expect(patch.spec?.template.spec?.automountServiceAccountToken).toBe(true)
    const binding = manifest<V1RoleBinding>('RoleBinding', 'orders-jobs')
    expect(binding.subjects?.map(({ name }) => name)).toEqual([deployment.spec?.template.spec?.serviceAccountName])
    expect(binding.roleRef.name).toBe(role.metadata?.name)
  })

  it.each(pods)('%s is not root, changes no file of its image, and has time to hand back its work', (_, pod) => {
    expect(pod?.spec?.securityContext).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } })
    for (const container of pod?.spec?.containers ?? []) {
      expect(container.securityContext).toEqual({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      })
      expect(container.resources?.limits).toHaveProperty('memory')
      const store = container.env?.find(({ name }) => name === 'WAYBILL_STORE')
      expect(store?.valueFrom?.secretKeyRef).toMatchObject({ name: 'orders-store', key: 'url' })
    }
    expect(pod?.spec?.terminationGracePeriodSeconds).toBeGreaterThanOrEqual(30)
  })

  it.each(pods)('%s has a folder for temporary files, since nothing else can be written', (_, pod) => {
    expect(pod?.spec?.volumes).toEqual([{ name: 'tmp', emptyDir: {} }])
    for (const { volumeMounts } of pod?.spec?.containers ?? []) {
      expect(volumeMounts).toEqual([{ name: 'tmp', mountPath: '/tmp' }])
    }
  })

  it('network policies are not part of an overlay, and name no address of one kind of cluster', () => {
    const overlays = manifests.filter(({ file }) => !file.startsWith('network-policies'))
    expect(overlays.filter(({ raw }) => raw.kind === 'NetworkPolicy')).toEqual([])
    const policies = manifests.filter(({ raw }) => raw.kind === 'NetworkPolicy').map(({ text }) => text)
    expect(policies.length).toBeGreaterThan(4)
    for (const policy of policies) expect(policy).not.toMatch(/^\s*-? ?(?:namespaceSelector|ipBlock|from|to):/m)
  })

  it('each port that a policy opens stands in the documentation', () => {
    const docs = readFileSync(join(ROOT, 'docs/deploy/kubernetes.md'), 'utf8')
    const [, table = ''] = /### What must be open\n([\s\S]*?)\n##/.exec(docs) ?? []
    const opened = manifests
      .filter(({ file }) => file.startsWith('network-policies'))
      .flatMap(({ text }) => [...text.matchAll(/port: (\d+)/g)].map(([, port = '']) => port))
    expect(new Set(opened).size).toBeGreaterThan(8)
    for (const port of opened) expect(table).toMatch(new RegExp(`\\b${port}\\b`))
  })

  it('each program that is run is in the image, and none is run instead of its init', () => {
    const commands = pods.flatMap(([, pod]) => pod?.spec?.containers[0] ?? [])
    const words = commands.flatMap(({ args = [] }) => args)
    expect(commands.map(({ command }) => command)).toEqual(commands.map(() => undefined))
    for (const file of words.filter(word => word.startsWith('examples/')))
      expect(existsSync(join(ROOT, file))).toBe(true)
    const { bin } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { bin: { waybill: string } }
    expect(words).toContain(bin.waybill.replace('./', ''))
  })

  it('the pod that serves can be reached where the manifests say', () => {
    const { PORT, HOST } = environmentOf(deployment)
    const [container] = deployment.spec?.template.spec?.containers ?? []
    expect({ PORT, HOST }).toEqual({ PORT: String(container?.ports?.[0]?.containerPort), HOST: '0.0.0.0' })
    const policy = manifest<V1NetworkPolicy>('NetworkPolicy', 'orders-api')
    expect(policy.spec?.ingress?.[0]?.ports?.map(({ port }) => port)).toEqual([container?.ports?.[0]?.containerPort])
  })
})

test('the role allows what the launcher does, and nothing else', async ({ lab }) => {
  const [rule] = role.rules ?? []
  expect(role.rules).toHaveLength(1)
  expect(rule).toMatchObject({ apiGroups: ['batch'], resources: ['jobs'] })
  const emulator = await emulateKubernetes({
    images: { 'registry.test/job:1': programImage('setInterval(() => {}, 9)') },
  })
  lab.onEnd(() => emulator.close())
  const { api, watch } = clientOf(emulator, emulator.token(rule?.verbs))
  const launcher = launcherOn(emulator, { api, watch })
  await launcher.open?.()
  const unwatch = launcher.watchEnds?.(() => {})
  await until(() => emulator.watches === 1)
  const operationId = '01920000-0000-7000-8000-000000000000'
  const execution = await launcher.start({ operationId, type: 'orders', timeoutMs: 0, attempt: 0, launch: 1 })
  await launcher.inspect(execution ?? '')
  await launcher.inspect('orders-gone')
  await launcher.stop(execution ?? '')
  unwatch?.()
  await until(() => emulator.requests.some(({ verb }) => verb === 'watch'))
  expect(emulator.requests.map(({ status }) => status)).not.toContain(403)
  expect(rule?.verbs).toEqual([...new Set(emulator.requests.map(({ verb }) => verb))].toSorted())
})

test('the example runs as it is deployed: an order becomes a Job of the template, and is completed', async ({
  lab,
}) => {
  const file = lab.file()
  const image = { workingDir: ROOT, env: { PATH: dirname(process.execPath), ORDER_PROCESSING_MS: '0' } }
  const nodeOptions = process.env.NODE_OPTIONS ?? ''
  const emulator = await emulateKubernetes({
    namespaces: ['orders'],
    images: { 'registry.test/orders:2': { ...image, env: { ...image.env, NODE_OPTIONS: nodeOptions } } },
    secrets: { 'orders-store': { url: `sqlite:${file}` } },
  })
  lab.onEnd(() => emulator.close())
  const kubeconfig = join(temporaryFolder(), 'config')
  writeFileSync(kubeconfig, emulator.kubeconfig(emulator.token(role.rules?.[0]?.verbs)))
  const { PORT: _, HOST: __, WAYBILL_STORE: ___, ...environment } = environmentOf(deployment, patch)
  expect(environment).toMatchObject({ WAYBILL_RUN: 'kubernetes', ORDER_JOB_TEMPLATE: '/etc/orders/job.yaml' })
  const env = {
    ...environment,
    KUBECONFIG: kubeconfig,
    ORDER_JOB_TEMPLATE: join(FOLDER, 'jobs/job.yaml'),
    ORDER_JOB_IMAGE: 'registry.test/orders:2',
    ORDER_JOB_NAMESPACE: 'orders',
  }
  const app = await startApp({ file, entry: EXAMPLE, env })
  const order = { customer: 'Ada', items: [{ name: 'tea', quantity: 1 }] }
  const headers = { 'content-type': 'application/json' }
  const accepted = await fetch(`${app.url}/orders`, { method: 'POST', body: JSON.stringify(order), headers })
  const status = new URL(accepted.headers.get('location') ?? '', app.url)
  await until(async () => (await fetch(status, { redirect: 'manual' })).status === 303)
  expect(await (await fetch(status)).json()).toMatchObject({ status: 'completed', order })
  const [made] = emulator.jobs()
  expect(made?.spec).toMatchObject({ backoffLimit: 0, activeDeadlineSeconds: 15 * 60 + 8 * 60 + 30 })
  const [container] = made?.spec.template.spec.containers ?? []
  const names = container?.env?.map(({ name }) => name)
  expect(names).toEqual(['WAYBILL_STORE', 'WAYBILL_OPERATION_ID', 'WAYBILL_EXECUTION', 'WAYBILL_ENGINE', 'ORDER_ID'])
})

onlyLong(() => {
  describe('what KEDA is to scale on', () => {
    const database = testDatabase()

    it('is how many operations could be claimed now', async () => {
      const pool = database.pool()
      const query = drain.spec.triggers[0]?.metadata.query ?? ''
      expect(query).toContain(`FROM ${DEFAULT_SCHEMA}.operations`)
      const schema = database.nextSchema()
      const store = postgresStore(pool, { schema })
      await store.open()
      const type = plays()
      const operations = new Operations({ store, types: [type], maxWaitingRequests: 10 })
      for (const delay of [0, 0, 0, 3_600_000]) await operations.submit(type, { input: null, delay })
      const claim = { holder: 'a', leaseMs: 30_000, from: { types: [{ type: type.name, limit: 1 }], limit: 1 } }
      expect(await store.claim(claim)).toHaveLength(1)
      const here = query.replaceAll('waybill.', `${schema}.`).replaceAll("'orders'", `'${type.name}'`)
      const { rows } = await pool.query(here)
      expect(rows).toEqual([{ count: '2' }])
      await store.close()
    })
  })
})()

describe('the Dockerfile', () => {
  const lines = readFileSync(join(ROOT, 'Dockerfile'), 'utf8').split('\n')
  const ignored = readFileSync(join(ROOT, '.dockerignore'), 'utf8').split('\n')

  it('copies what is there and not ignored', () => {
    const copied = lines
      .filter(line => line.startsWith('COPY ') && !line.includes('--from='))
      .flatMap(line => line.split(' ').slice(1, -1))
    expect(copied.length).toBeGreaterThan(5)
    for (const path of copied) {
      expect(existsSync(join(ROOT, path))).toBe(true)
      expect(ignored).toContain(`!${path}`)
    }
  })

  it('brings every package that the example imports', () => {
    const brought = JSON.parse(/const brought = (\[.*?\])/.exec(lines.join('\n'))?.[1] ?? '[]') as string[]
    const { devDependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
      devDependencies: Record<string, string>
    }
    for (const name of brought) expect(devDependencies[name]).toMatch(/^\d/)
    const imports = ['api', 'job', 'kubernetes', 'orders', 'page', 'processor'].flatMap(name =>
      [...readFileSync(join(ROOT, `examples/orders/${name}.ts`), 'utf8').matchAll(/ from '([^.'][^']*)'/g)].map(
        it => it[1],
      ),
    )
    const packages = imports.filter(name => !/^(node:|waybill(\/|$))/.test(name ?? ''))
    expect(brought).toEqual(expect.arrayContaining([...packages, 'pg']))
  })

  it('runs an init, and under it node, as a user who is not root', () => {
    expect(lines).toContain('USER 1000:1000')
    const commands = lines.filter(line => /^(CMD|ENTRYPOINT)/.test(line))
    expect(commands).toEqual(['ENTRYPOINT ["tini", "--"]', 'CMD ["node", "examples/orders/api.ts"]'])
    expect(deployment.spec?.template.spec?.securityContext?.runAsUser).toBe(1000)
  })
})
