/** The launcher alone, through the real client: what it sends, and what it makes of each answer. */
import type { BatchV1Api, V1JobTemplateSpec, Watch } from '@kubernetes/client-node'
import { describe, expect, expectTypeOf, it } from 'vitest'
import type { EmulatedImage, EmulatedJob } from 'waybill/emulators/kubernetes'
import { kubernetesJob } from 'waybill/launchers/kubernetes'
import type {
  KubernetesJobsApi,
  KubernetesJobTemplate,
  KubernetesWatch,
} from '../../../src/launchers/kubernetes/kubernetes.ts'
import { LaunchRefused, type LaunchRequest } from '../../../src/launchers/launcher.ts'
import { clientOf, clusterOf, IMAGE, JOB_TEMPLATE, launcherOn, programImage } from '../../support/kubernetes.ts'
import { onlyLong } from '../../support/length.ts'
import { type TestContext, test, until } from '../../support/waybill.ts'

const ID = '01920000-0000-7000-8000-000000000000'
const NAME = `orders-${ID}-0-1`
const request: LaunchRequest = { operationId: ID, type: 'orders', timeoutMs: 60_000, attempt: 0, launch: 1 }
/** The client's Watch fails after this long a silence. */
const IDLE_LIMIT_SECONDS = 30
const RUN_FOR_EVER = programImage('setInterval(() => {}, 1000)')

/** A cluster with an image that runs a line of a program. */
async function clusterWith(lab: TestContext, image: EmulatedImage = RUN_FOR_EVER, options = {}) {
  return await clusterOf(lab, '', { images: { [IMAGE]: image }, ...options })
}

/** The refusal of a start. */
async function refusalOf(start: Promise<unknown>): Promise<LaunchRefused> {
  const error = await start.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (error instanceof LaunchRefused) return error
  throw new Error(`It was not refused, but ${String(error)}`)
}

it('accepts the clients and templates of the real package unchanged', () => {
  expectTypeOf<BatchV1Api>().toExtend<KubernetesJobsApi>()
  expectTypeOf<Watch>().toExtend<KubernetesWatch>()
  expectTypeOf<V1JobTemplateSpec>().toExtend<KubernetesJobTemplate>()
})

describe('a start', () => {
  test('creates a Job from the template, with the properties of Waybill', async ({ lab }) => {
    const emulator = await clusterWith(lab)
    const container = { name: 'main', image: IMAGE, resources: { limits: { memory: '64Mi' } } }
    const env = [
      { name: 'WAYBILL_EXECUTION', value: 'stale' },
      { name: 'KEPT', value: 'yes' },
    ]
    const template: V1JobTemplateSpec = {
      metadata: { labels: { team: 'orders' }, annotations: { note: 'kept' } },
      spec: {
        backoffLimit: 4,
        ttlSecondsAfterFinished: 60,
        template: {
          metadata: { labels: { tier: 'batch' } },
          spec: {
            serviceAccountName: 'orders-job',
            restartPolicy: 'OnFailure',
            containers: [
              { name: 'first', image: IMAGE },
              { ...container, env },
            ],
          },
        },
      },
    }
    const launcher = launcherOn(emulator, { template, container: 'main', variable: 'ORDER_ID', startupTimeout: '2m' })
    expect(await launcher.start(request)).toBe(NAME)
    const labels = { 'app.kubernetes.io/managed-by': 'waybill', 'waybill/operation': ID, 'waybill/type': 'orders' }
    expect(emulator.requests.at(-1)?.body).toEqual({
      apiVersion: 'batch/v1',
      kind: 'Job',
      metadata: {
        name: NAME,
        namespace: 'default',
        labels: { team: 'orders', ...labels },
        annotations: { note: 'kept' },
      },
      spec: {
        activeDeadlineSeconds: 60 + 120 + 30,
        backoffLimit: 0,
        completions: 1,
        parallelism: 1,
        ttlSecondsAfterFinished: 60,
        podFailurePolicy: { rules: [{ action: 'FailJob', onExitCodes: { operator: 'NotIn', values: [0] } }] },
        template: {
          metadata: { labels: { tier: 'batch', ...labels } },
          spec: {
            serviceAccountName: 'orders-job',
            restartPolicy: 'Never',
            containers: [
              { name: 'first', image: IMAGE },
              {
                ...container,
                env: [
                  { name: 'KEPT', value: 'yes' },
                  { name: 'WAYBILL_OPERATION_ID', value: ID },
                  { name: 'WAYBILL_EXECUTION', value: NAME },
                  { name: 'WAYBILL_ENGINE', value: 'kubernetes' },
                  { name: 'ORDER_ID', value: ID },
                ],
              },
            ],
          },
        },
      },
    })
  })

  test('that is repeated creates no second Job, and the next launch and the next attempt create one each', async ({
    lab,
  }) => {
    const emulator = await clusterWith(lab)
    const launcher = launcherOn(emulator)
    expect(await launcher.start(request)).toBe(NAME)
    expect(await launcherOn(emulator).start(request)).toBe(NAME)
    await launcher.start({ ...request, launch: 2 })
    await launcher.start({ ...request, attempt: 1 })
    const names = emulator.jobs().map(({ metadata }) => metadata.name)
    expect(names).toEqual([NAME, `orders-${ID}-0-2`, `orders-${ID}-1-1`])
  })

  test('of a type with the longest name gives a valid name of a Job', async ({ lab }) => {
    const emulator = await clusterWith(lab)
    const type = `a${'-'.repeat(62)}z`
    const name = await launcherOn(emulator).start({ ...request, type, attempt: 1000, launch: 1000 })
    expect(name).toHaveLength(63)
    expect(name).toContain(ID)
  })

  test('that is refused because of load is retried after the time that the server names', async ({ lab }) => {
    const emulator = await clusterWith(lab)
    emulator.fail({ answer: 429, reason: 'TooManyRequests', retryAfter: 7 })
    expect(await refusalOf(launcherOn(emulator).start(request))).toMatchObject({ retryAfterMs: 7000 })
    emulator.fail({ answer: 429, reason: 'TooManyRequests' })
    expect(await refusalOf(launcherOn(emulator).start(request))).toMatchObject({ retryAfterMs: 1000 })
    expect(emulator.requests.map(({ verb }) => verb)).toEqual(['create', 'create'])
  })

  test('that fails on the server before the Job is created is reported as not made', async ({ lab }) => {
    const emulator = await clusterWith(lab)
    for (const answer of [500, 503, 'html', 'cut', 409] as const) {
      emulator.fail({ verb: 'create', answer, reason: 'Conflict' })
      const { message } = await refusalOf(launcherOn(emulator).start(request))
      expect(message).toMatch(/^The Job was not created: /)
    }
    expect(emulator.jobs()).toEqual([])
  })

  test('that fails on the server after the Job was created is found by its name', async ({ lab }) => {
    const emulator = await clusterWith(lab)
    for (const [index, answer] of ([500, 'html', 'cut'] as const).entries()) {
      emulator.fail({ verb: 'create', when: 'after', answer })
      const launch = index + 1
      expect(await launcherOn(emulator).start({ ...request, launch })).toBe(`orders-${ID}-0-${launch}`)
    }
    expect(emulator.jobs()).toHaveLength(3)
  })

  test('with an unclear result is repeated under the same name, and found', async ({ lab }) => {
    const emulator = await clusterWith(lab)
    emulator.fail({ verb: 'create', when: 'after', answer: 'cut' })
    emulator.fail({ verb: 'get', answer: 503, reason: 'ServiceUnavailable' })
    const { message } = await refusalOf(launcherOn(emulator).start(request))
    expect(message).toMatch(/^Could not tell whether the Job was created: /)
    expect(await launcherOn(emulator).start(request)).toBe(NAME)
    expect(emulator.jobs()).toHaveLength(1)
  })

  test('without a reachable server is refused, with a message', async ({ lab }) => {
    const emulator = await clusterWith(lab)
    const warnings: string[] = []
    const launcher = launcherOn(emulator, { warn: message => warnings.push(message) })
    await emulator.close()
    expect(await refusalOf(launcher.start(request))).toMatchObject({ retryAfterMs: 2000 })
    expect(warnings).toHaveLength(1)
  })

  test('that a person must fix is reported once, until it is fixed', async ({ lab }) => {
    const emulator = await clusterWith(lab)
    const warnings: string[] = []
    const warn = (message: string) => warnings.push(message)
    const { api } = clientOf(emulator, emulator.token(['get']))
    const launcher = launcherOn(emulator, { api, warn })
    expect(await refusalOf(launcher.start(request))).toMatchObject({ retryAfterMs: 30_000 })
    await refusalOf(launcher.start({ ...request, launch: 2 }))
    expect(warnings).toEqual([expect.stringMatching(/is forbidden: .* cannot create resource "jobs"/)])
    const elsewhere = launcherOn(emulator, { namespace: 'missing', warn })
    await refusalOf(elsewhere.start(request))
    expect(warnings.at(-1)).toContain('namespaces "missing" not found')
    const invalid: V1JobTemplateSpec = { spec: { template: { spec: { containers: [{ name: 'NO', image: IMAGE }] } } } }
    await refusalOf(launcherOn(emulator, { template: invalid, warn }).start(request))
    expect(warnings.at(-1)).toContain('is invalid: spec.template.spec.containers[0].name')
    await refusalOf(launcherOn(emulator, { api: clientOf(emulator, 'no-token').api, warn }).start(request))
    expect(warnings).toHaveLength(4)
  })

  test('that exceeds a quota is retried later', async ({ lab }) => {
    const emulator = await clusterWith(lab, RUN_FOR_EVER, { quota: 1 })
    const launcher = launcherOn(emulator)
    await launcher.start(request)
    expect(await refusalOf(launcher.start({ ...request, launch: 2 }))).toMatchObject({ retryAfterMs: 10_000 })
  })
})

describe('an execution is', () => {
  /** Starts one, waits until its Job satisfies the condition, and says what the launcher says. */
  async function stateWhen(
    lab: TestContext,
    image = RUN_FOR_EVER,
    condition: (job: EmulatedJob) => boolean = () => true,
  ) {
    const emulator = await clusterWith(lab, image)
    const launcher = launcherOn(emulator)
    await launcher.start(request)
    await until(() => emulator.jobs().some(condition))
    return { emulator, launcher, state: await launcher.inspect(NAME) }
  }

  const has = (type: string) => (job: EmulatedJob) => job.status.conditions?.some(it => it.type === type) ?? false

  test('alive while it starts and runs', async ({ lab }) => {
    const { state } = await stateWhen(lab, RUN_FOR_EVER, job => job.status.ready === 1)
    expect(state).toEqual({ kind: 'alive' })
  })

  test('gone when it has succeeded, even if it is not listed any more', async ({ lab }) => {
    const { state, emulator } = await stateWhen(lab, programImage(''), has('Complete'))
    expect(state).toEqual({ kind: 'gone', reason: 'Its Job is complete.' })
    expect(emulator.requests.at(-1)).toMatchObject({ verb: 'get', name: NAME })
  })

  test('gone when it has failed, and the reason has the exit code', async ({ lab }) => {
    const { state, emulator } = await stateWhen(lab, programImage('process.exit(3)'), has('Failed'))
    expect(state).toMatchObject({ kind: 'gone' })
    expect(JSON.stringify(state)).toMatch(/Its Job failed: PodFailurePolicy, .* failed with exit code 3 /)
    expect(emulator.requests.at(-1)).toMatchObject({ verb: 'list' })
  })

  onlyLong(() => {
    test('gone when its deadline and its process have ended', async ({ lab }) => {
      const stubborn = { entrypoint: ['/bin/sh', '-c', "trap '' TERM; while :; do sleep 0.05; done"] }
      const emulator = await clusterWith(lab, stubborn)
      const template = structuredClone(JOB_TEMPLATE)
      if (template.spec) template.spec.activeDeadlineSeconds = 10
      const launcher = launcherOn(emulator, { template })
      await launcher.start(request)
      await until(() => emulator.jobs().some(has('FailureTarget')))
      expect(await launcher.inspect(NAME)).toEqual({ kind: 'alive' })
      await until(() => emulator.jobs().some(has('Failed')))
      const reason = 'Its Job failed: DeadlineExceeded, Job was active longer than specified deadline.'
      await until(async () => (await launcher.inspect(NAME)).kind === 'gone')
      expect(await launcher.inspect(NAME)).toEqual({ kind: 'gone', reason })
    })
  })()

  test('alive while it is stopped, and gone when its process has ended', async ({ lab }) => {
    const slow = programImage("process.on('SIGTERM', () => setTimeout(process.exit, 300)); setInterval(() => {}, 1000)")
    const { launcher, emulator } = await stateWhen(lab, slow, job => job.status.ready === 1)
    await until(() => emulator.pidOf(NAME) !== undefined)
    await launcher.stop(NAME)
    await launcher.stop(NAME)
    await until(() => emulator.pidOf(NAME) === undefined)
    await until(async () => (await launcher.inspect(NAME)).kind === 'gone')
    const reason = `There is no Job ${NAME}: it was deleted.`
    expect(await launcher.inspect(NAME)).toEqual({ kind: 'gone', reason })
    await launcher.stop(NAME)
  })

  test('gone if it never existed or belongs to another engine', async ({ lab }) => {
    const emulator = await clusterWith(lab)
    const launcher = launcherOn(emulator)
    for (const name of ['', '..', 'process-12-ab/..', 'Process', NAME]) {
      expect(await launcher.inspect(name)).toMatchObject({ kind: 'gone' })
      await launcher.stop(name)
    }
    expect(emulator.requests.every(({ name }) => name === undefined || name === NAME)).toBe(true)
  })

  test('alive while a queue of the cluster holds it back, however long', async ({ lab }) => {
    const emulator = await clusterWith(lab)
    const template = structuredClone(JOB_TEMPLATE)
    if (template.spec) template.spec.suspend = true
    const launcher = launcherOn(emulator, { template, startupTimeout: 1000 })
    await launcher.start(request)
    expect(await launcher.inspect(NAME)).toEqual({ kind: 'alive' })
  })
})

describe('the inspection of many executions', () => {
  test('needs one listing for concurrent inspections, in pages', async ({ lab }) => {
    const emulator = await clusterOf(lab, '', { images: {} })
    const launcher = launcherOn(emulator)
    const names = await Promise.all(Array.from({ length: 40 }, (_, launch) => launcher.start({ ...request, launch })))
    const states = await Promise.all(names.map(name => launcher.inspect(name ?? '')))
    expect(new Set(states.map(({ kind }) => kind))).toEqual(new Set(['alive']))
    const looks = emulator.requests.filter(({ verb }) => verb !== 'create')
    const query = new URLSearchParams(looks[0]?.query)
    expect(looks).toHaveLength(1)
    expect(Object.fromEntries(query)).toEqual({
      labelSelector: 'app.kubernetes.io/managed-by=waybill',
      fieldSelector: 'status.successful=0',
      limit: '500',
    })
  })

  test('begins again if a page has expired', async ({ lab }) => {
    const emulator = await clusterOf(lab, '', { images: {} })
    const { api } = clientOf(emulator)
    const small: KubernetesJobsApi = {
      createNamespacedJob: body => api.createNamespacedJob(body as never),
      readNamespacedJob: () => Promise.reject(new Error('Nothing needs to be read.')),
      deleteNamespacedJob: name => api.deleteNamespacedJob(name),
      listNamespacedJob: async query => {
        if (query._continue !== undefined && expiries-- > 0) emulator.compact()
        return await api.listNamespacedJob({ ...query, limit: 2 })
      },
    }
    let expiries = 1
    const launcher = launcherOn(emulator, { api: small })
    const names = await Promise.all([1, 2, 3, 4, 5].map(launch => launcher.start({ ...request, launch })))
    expect(await launcher.inspect(names[4] ?? '')).toEqual({ kind: 'alive' })
    const lists = emulator.requests.filter(({ verb }) => verb === 'list').map(({ status }) => status)
    expect(lists).toEqual([200, 410, 200, 200, 200])
  })

  test('fails if Jobs cannot be listed, and lists them again the next time', async ({ lab }) => {
    const emulator = await clusterWith(lab)
    const launcher = launcherOn(emulator)
    await launcher.start(request)
    emulator.fail({ verb: 'list', answer: 500 })
    await expect(launcher.inspect(NAME)).rejects.toThrow('HTTP-Code: 500')
    expect(await launcher.inspect(NAME)).toEqual({ kind: 'alive' })
  })
})

describe('watching', () => {
  /** A launcher that watches, once its watch has begun. */
  async function watching(lab: TestContext, image = RUN_FOR_EVER) {
    const emulator = await clusterWith(lab, image)
    const { api, watch } = clientOf(emulator)
    const launcher = launcherOn(emulator, { api, watch })
    let ends = 0
    const unwatch = launcher.watchEnds?.(() => ends++) ?? (() => {})
    lab.onEnd(unwatch)
    await until(() => ends === 1 && emulator.watches === 1)
    return { emulator, launcher, unwatch, ends: () => ends }
  }

  test('reports failures and deletions, and no success', async ({ lab }) => {
    const { emulator, launcher, ends } = await watching(lab)
    emulator.provide('well', programImage(''))
    const template = structuredClone(JOB_TEMPLATE)
    for (const container of template.spec?.template.spec?.containers ?? []) container.image = 'well'
    await launcherOn(emulator, { template }).start({ ...request, launch: 9 })
    await until(() => emulator.jobs().some(job => job.status.succeeded === 1))
    await launcher.start(request)
    await until(() => emulator.pidOf(NAME) !== undefined)
    emulator.kill(NAME)
    await until(() => ends() === 2)
    await launcher.start({ ...request, launch: 2 })
    const { api } = clientOf(emulator)
    await api.deleteNamespacedJob({ namespace: 'default', name: `orders-${ID}-0-2` })
    await until(() => ends() === 3)
  })

  test('resumes after its connection has ended, and lists the Jobs again if the version has expired', async ({
    lab,
  }) => {
    const { emulator, launcher, ends } = await watching(lab)
    emulator.cutConnections()
    await until(() => emulator.watches === 1)
    expect(ends()).toBe(1)
    emulator.compact()
    emulator.fail({ verb: 'watch', answer: 410, reason: 'Expired' })
    emulator.cutConnections()
    // What ended meanwhile may have been missed: that is told as an end.
    await until(() => ends() === 2 && emulator.watches === 1)
    await launcher.start(request)
    await until(() => emulator.pidOf(NAME) !== undefined)
    emulator.kill(NAME)
    await until(() => ends() === 3)
  })

  onlyLong(() => {
    test('ends before the client counts silence as a failure, and then resumes', async ({ lab }) => {
      // 25 s last a little longer than a second here.
      const emulator = await clusterWith(lab, RUN_FOR_EVER, { secondDuration: 50 })
      const { api, watch } = clientOf(emulator)
      const errors: unknown[] = []
      const seen: KubernetesWatch = {
        watch: (path, query, onEvent, onEnd) =>
          watch.watch(path, query, onEvent, error => {
            errors.push(error)
            onEnd(error)
          }),
      }
      const launcher = launcherOn(emulator, { api, watch: seen })
      let ends = 0
      lab.onEnd(launcher.watchEnds?.(() => ends++) ?? (() => {}))
      await until(() => errors.length === 3)
      await launcher.start(request)
      await until(() => emulator.pidOf(NAME) !== undefined)
      emulator.kill(NAME)
      await until(() => ends === 2)
      expect(errors.slice(0, 3)).toEqual([null, null, null])
      const watches = emulator.requests.filter(({ verb }) => verb === 'watch')
      const seconds = watches.map(({ query }) => Number(new URLSearchParams(query).get('timeoutSeconds')))
      expect(Math.max(...seconds)).toBeLessThan(IDLE_LIMIT_SECONDS)
      expect(emulator.requests.filter(({ verb }) => verb === 'list')).toHaveLength(1)
    })
  })()

  test('ends with its listener', async ({ lab }) => {
    const { emulator, launcher, unwatch, ends } = await watching(lab)
    unwatch()
    await until(() => emulator.watches === 0)
    await launcher.start(request)
    emulator.kill(NAME)
    await until(() => emulator.jobs().some(job => job.status.failed === 1))
    expect(ends()).toBe(1)
    await launcher.close?.()
  })
})

describe('invalid options are refused at once:', () => {
  const api: Partial<KubernetesJobsApi> = { createNamespacedJob: () => Promise.reject(new Error('It was asked.')) }
  const pod = (parts: object): KubernetesJobTemplate => ({
    spec: { template: { spec: { containers: [{ name: 'job' }], ...parts } } },
  })
  const probed = pod({ containers: [{ name: 'job', readinessProbe: {} }] })
  it.each([
    ['a namespace', { namespace: 'No!' }, /namespace must be the name of a namespace, not "No!"/],
    ['no container', { template: {} }, /template has no container/],
    ['an unknown container', { container: 'other' }, /template has no container other/],
    ['a variable', { variable: 'NOT=ONE' }, /variable must be the name of an environment variable/],
    ['a readiness probe', { template: probed }, /no readiness probes or gates/],
    ['a readiness gate', { template: pod({ readinessGates: [{}] }) }, /no readiness probes or gates/],
    ['a duration', { startupTimeout: '1' as '1s' }, /startupTimeout must be a number of milliseconds/],
  ])('%s', (_, options, message) => {
    expect(() =>
      kubernetesJob(api as KubernetesJobsApi, { namespace: 'default', template: pod({}), ...options }),
    ).toThrow(message)
  })
})
