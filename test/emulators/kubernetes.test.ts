/** The emulated API through the real client, checked against what the documentation of Kubernetes says of the real one. */
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { request } from 'node:https'
import { text } from 'node:stream/consumers'
import type { ApiException, V1Job, V1JobList } from '@kubernetes/client-node'
import { describe, expect } from 'vitest'
import {
  emulateKubernetes,
  type KubernetesEmulator,
  type KubernetesEmulatorOptions,
} from 'waybill/emulators/kubernetes'
import { clientOf, programImage } from '../support/kubernetes.ts'
import { type TestContext, test, until } from '../support/waybill.ts'

const namespace = 'default'

/** A cluster whose images are lines of programs. */
async function cluster(
  lab: TestContext,
  programs: Record<string, string> = {},
  options: KubernetesEmulatorOptions = {},
) {
  const images = Object.fromEntries(Object.entries(programs).map(([name, program]) => [name, programImage(program)]))
  const emulator = await emulateKubernetes({ secondDuration: 50, images, ...options })
  lab.onEnd(() => emulator.close())
  return { emulator, ...clientOf(emulator) }
}

/** A Job of one container. */
function jobOf(name: string, image: string, spec: object = {}, container: object = {}): V1Job {
  const pod = { restartPolicy: 'Never', containers: [{ name: 'main', image, ...container }] }
  return { metadata: { name, labels: { app: name } }, spec: { template: { spec: pod }, ...spec } }
}

/** The `Status` object of a refused call, with the code of the answer. */
async function refusal(call: Promise<unknown>): Promise<{ code: number; reason?: string; message?: string }> {
  const error = (await call.then(
    () => new Error('It was not refused.'),
    (reason: unknown) => reason,
  )) as ApiException<string>
  return { ...(error.body === undefined ? {} : JSON.parse(error.body)), code: error.code }
}

function conditionsOf(job: V1Job | undefined): string[] {
  return (job?.status?.conditions ?? []).map(({ type, reason }) => `${type} ${reason}`)
}

describe('a Job', () => {
  test('runs the command of its image with its environment, and completes', async ({ lab }) => {
    const print = 'process.exit(process.env.A + process.env.B + process.env.C === "1-1s" ? 0 : 1)'
    const { api } = await cluster(lab, { print }, { secrets: { kept: { key: 's' } } })
    const env = [
      { name: 'A', value: '1' },
      { name: 'B', value: '-$(A)' },
      { name: 'C', valueFrom: { secretKeyRef: { name: 'kept', key: 'key' } } },
    ]
    await api.createNamespacedJob({ namespace, body: jobOf('one', 'print', {}, { env }) })
    const read = () => api.readNamespacedJob({ namespace, name: 'one' })
    await until(async () => conditionsOf(await read()).length > 1)
    const job = await read()
    expect(conditionsOf(job)).toEqual(['SuccessCriteriaMet CompletionsReached', 'Complete CompletionsReached'])
    expect(job.status).toMatchObject({ succeeded: 1, active: 0, ready: 0, completionTime: expect.any(Date) })
  })

  test('is stored with the defaults of Kubernetes', async ({ lab }) => {
    const { api } = await cluster(lab)
    const { metadata, spec } = await api.createNamespacedJob({ namespace, body: jobOf('one', 'none') })
    expect(metadata).toMatchObject({ name: 'one', namespace, generation: 1, creationTimestamp: expect.any(Date) })
    expect(spec).toMatchObject({ backoffLimit: 6, completions: 1, parallelism: 1, completionMode: 'NonIndexed' })
    const uid = metadata?.uid ?? ''
    expect(spec?.selector?.matchLabels).toEqual({ 'batch.kubernetes.io/controller-uid': uid })
    const labels = spec?.template.metadata?.labels
    expect(labels).toMatchObject({ 'batch.kubernetes.io/job-name': 'one', 'batch.kubernetes.io/controller-uid': uid })
  })

  test('whose pod fails is retried up to its limit', async ({ lab }) => {
    const { api, emulator } = await cluster(lab, { fail: 'process.exit(4)' }, { secondDuration: 10 })
    await api.createNamespacedJob({ namespace, body: jobOf('none', 'fail', { backoffLimit: 0 }) })
    await api.createNamespacedJob({ namespace, body: jobOf('once', 'fail', { backoffLimit: 1 }) })
    await until(() => emulator.jobs().every(job => job.status.conditions?.length === 2))
    const { items } = await api.listNamespacedJob({ namespace })
    expect(items.map(conditionsOf)).toEqual(
      [1, 2].map(() => ['FailureTarget BackoffLimitExceeded', 'Failed BackoffLimitExceeded']),
    )
    expect(items.map(({ status }) => status?.failed)).toEqual([1, 2])
  })

  test('is deleted after its time to live', async ({ lab }) => {
    const { api, emulator } = await cluster(lab, { done: '' })
    await api.createNamespacedJob({ namespace, body: jobOf('one', 'done', { ttlSecondsAfterFinished: 1 }) })
    await until(() => emulator.jobs().length === 0)
    expect((await refusal(api.readNamespacedJob({ namespace, name: 'one' }))).code).toBe(404)
  })

  test('without an image or a secret stays pending until these exist', async ({ lab }) => {
    const { api, emulator } = await cluster(lab)
    const env = [{ name: 'A', valueFrom: { secretKeyRef: { name: 'missing', key: 'key' } } }]
    await api.createNamespacedJob({ namespace, body: jobOf('image', 'late') })
    await api.createNamespacedJob({ namespace, body: jobOf('secret', 'late', {}, { env }) })
    expect(emulator.jobs().map(({ status }) => status.ready)).toEqual([0, 0])
    emulator.provide('late', programImage(''))
    await until(() => emulator.jobs().some(({ status }) => status.succeeded === 1))
    expect(emulator.jobs().map(({ status }) => status.succeeded)).toEqual([1, undefined])
  })
})

describe('a deletion', () => {
  const stubborn = `import { writeFileSync } from 'node:fs'
    process.on('SIGTERM', () => {})
    setInterval(() => {}, 1000)
    writeFileSync(process.env.READY, '')`

  /** A Job whose process does not heed SIGTERM, once it does not. */
  async function stubbornJob(lab: TestContext) {
    const { api, emulator } = await cluster(lab, { stubborn })
    const ready = lab.file()
    const env = [{ name: 'READY', value: ready }]
    await api.createNamespacedJob({ namespace, body: jobOf('one', 'stubborn', {}, { env }) })
    await until(() => existsSync(ready))
    return { api, emulator }
  }

  test('in the background removes the Job at once, and ends its process after the grace period', async ({ lab }) => {
    const { api, emulator } = await stubbornJob(lab)
    const pid = emulator.pidOf('one') ?? 0
    await api.deleteNamespacedJob({ namespace, name: 'one' })
    expect(emulator.jobs()).toEqual([])
    expect(process.kill(pid, 0)).toBe(true)
    await until(() => emulator.pidOf('one') === undefined)
    expect(() => process.kill(pid, 0)).toThrow('ESRCH')
  })

  test('in the foreground ends the process first', async ({ lab }) => {
    const { api, emulator } = await stubbornJob(lab)
    await api.deleteNamespacedJob({ namespace, name: 'one', propagationPolicy: 'Foreground' })
    const { metadata } = await api.readNamespacedJob({ namespace, name: 'one' })
    expect(metadata).toMatchObject({ finalizers: ['foregroundDeletion'], deletionTimestamp: expect.any(Date) })
    const again = await refusal(api.createNamespacedJob({ namespace, body: jobOf('one', 'stubborn') }))
    expect(again).toMatchObject({ code: 409, reason: 'AlreadyExists', message: expect.stringMatching(/being deleted/) })
    await until(() => emulator.jobs().length === 0)
    expect(emulator.pidOf('one')).toBeUndefined()
  })

  test('of another Job of the same name is a conflict', async ({ lab }) => {
    const { api } = await cluster(lab)
    await api.createNamespacedJob({ namespace, body: jobOf('one', 'none') })
    const request = { namespace, name: 'one', body: { preconditions: { uid: 'another' } } }
    expect(await refusal(api.deleteNamespacedJob(request))).toMatchObject({ code: 409, reason: 'Conflict' })
  })
})

describe('a refusal', () => {
  test('is a Status object with the code and the reason of its kind', async ({ lab }) => {
    const { api, emulator } = await cluster(lab)
    const create = (body: V1Job, target = namespace) => refusal(api.createNamespacedJob({ namespace: target, body }))
    await api.createNamespacedJob({ namespace, body: jobOf('one', 'none') })
    expect(await create(jobOf('one', 'none'))).toMatchObject({ code: 409, reason: 'AlreadyExists', kind: 'Status' })
    expect(await create(jobOf('One', 'none'))).toMatchObject({ code: 422, reason: 'Invalid' })
    expect(await create(jobOf('a'.repeat(64), 'none'))).toMatchObject({ code: 422, reason: 'Invalid' })
    expect(await create({ metadata: { name: 'two' } })).toMatchObject({ code: 422, reason: 'Invalid' })
    expect(await create(jobOf('two', 'none', { backoffLimit: -1 }))).toMatchObject({ code: 422, reason: 'Invalid' })
    expect(await create(jobOf('two', 'none'), 'other')).toMatchObject({ code: 404, reason: 'NotFound' })
    const missing = await refusal(api.readNamespacedJob({ namespace, name: 'two' }))
    expect(missing).toMatchObject({ code: 404, reason: 'NotFound', message: 'jobs.batch "two" not found' })
    const reader = clientOf(emulator, emulator.token(['get'])).api
    expect(await refusal(reader.listNamespacedJob({ namespace }))).toMatchObject({ code: 403, reason: 'Forbidden' })
    expect((await refusal(clientOf(emulator, 'none').api.listNamespacedJob({ namespace }))).code).toBe(401)
    const fields = await refusal(api.listNamespacedJob({ namespace, fieldSelector: 'status.active=1' }))
    expect(fields).toMatchObject({ code: 400, message: 'field label "status.active" not supported for Job' })
  })

  test('of an invalid request does not end the server', async ({ lab }) => {
    const { emulator } = await cluster(lab)
    const url = `${emulator.url}/apis/batch/v1/namespaces/default/jobs`
    const headers = { authorization: `Bearer ${emulator.token()}`, 'content-type': 'application/json' }
    const ask = async (init: RawRequest, path = url) => (await rawRequest(emulator, path, { headers, ...init })).status
    expect(await ask({ method: 'POST', body: '{' })).toBe(400)
    expect(await ask({ method: 'POST', body: 'null' })).toBe(422)
    expect(await ask({ method: 'POST', body: '[]' })).toBe(422)
    expect(await ask({ method: 'POST', body: JSON.stringify({ kind: 'Pod' }) })).toBe(400)
    expect(await ask({ method: 'POST', body: '{}', headers: { ...headers, 'content-type': 'text/plain' } })).toBe(415)
    expect(await ask({ method: 'PATCH', body: '{}' })).toBe(405)
    expect(await ask({}, `${emulator.url}/api/v1/pods`)).toBe(404)
    expect(await ask({}, `${emulator.url}/version`)).toBe(200)
  })

  test('of a client without a token, or with an unknown one, is a Status object of 401', async ({ lab }) => {
    const { emulator } = await cluster(lab)
    for (const headers of [{}, { authorization: 'Bearer unknown' }, { authorization: 'Basic dTpw' }]) {
      for (const path of ['/version', '/apis/batch/v1/namespaces/default/jobs']) {
        const { status, body } = await rawRequest(emulator, `${emulator.url}${path}`, { headers })
        expect(status).toBe(401)
        const unauthorized = { status: 'Failure', reason: 'Unauthorized', message: 'Unauthorized', code: 401 }
        expect(JSON.parse(body)).toEqual({ kind: 'Status', apiVersion: 'v1', metadata: {}, ...unauthorized })
      }
    }
  })

  test('is the answer to a client with an unknown certificate, and to no other client', async ({ lab }) => {
    const { emulator } = await cluster(lab)
    const { emulator: other } = await cluster(lab)
    const may = clientOf(emulator, emulator.clientCertificate(['list'])).api
    expect((await may.listNamespacedJob({ namespace })).items).toEqual([])
    expect((await refusal(may.readNamespacedJob({ namespace, name: 'one' }))).code).toBe(403)
    const stranger = clientOf(emulator, other.clientCertificate()).api
    expect((await refusal(stranger.listNamespacedJob({ namespace }))).code).toBe(401)
  })
})

test('a client trusts the server only with the kubeconfig', async ({ lab }) => {
  const { emulator, api } = await cluster(lab)
  expect(emulator.url).toMatch(/^https:/)
  expect(emulator.kubeconfig()).not.toContain('insecure')
  expect((await api.listNamespacedJob({ namespace })).items).toEqual([])
  await expect(fetch(`${emulator.url}/version`)).rejects.toThrow('fetch failed')
})

test('kubectl finds Jobs by discovery, and leaves the check of their fields to the server', async ({ lab }) => {
  const { emulator } = await cluster(lab)
  const headers = { authorization: `Bearer ${emulator.token()}` }
  const read = async (path: string): Promise<unknown> =>
    JSON.parse((await rawRequest(emulator, `${emulator.url}${path}`, { headers })).body)
  expect(await read('/apis')).toMatchObject({ groups: [{ name: 'batch', preferredVersion: { version: 'v1' } }] })
  expect(await read('/apis/batch/v1')).toMatchObject({ resources: [{ name: 'jobs', namespaced: true }] })
  const { paths } = (await read('/openapi/v3')) as { paths: Record<string, { serverRelativeURL: string }> }
  const document = (await read(paths['apis/batch/v1']?.serverRelativeURL ?? '')) as {
    paths: Record<string, { patch: object }>
  }
  expect(Object.values(document.paths).map(({ patch }) => patch)).toMatchObject([
    {
      parameters: [{ name: 'fieldValidation', in: 'query' }],
      'x-kubernetes-group-version-kind': { group: 'batch', version: 'v1', kind: 'Job' },
    },
  ])
})

interface RawRequest {
  readonly method?: string
  readonly headers?: Record<string, string>
  readonly body?: string
}

/** A request that no client would send. */
async function rawRequest(
  emulator: KubernetesEmulator,
  url: string,
  { body, ...init }: RawRequest,
): Promise<{ status: number | undefined; body: string }> {
  const sent = request(url, { ca: emulator.certificate, agent: false, ...init }).end(body)
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  return { status: response.statusCode, body: await text(response) }
}

describe('a list', () => {
  test('selects by labels and fields', async ({ lab }) => {
    const { api, emulator } = await cluster(lab, { done: '' })
    for (const name of ['a', 'b', 'c']) {
      await api.createNamespacedJob({ namespace, body: jobOf(name, name === 'c' ? 'done' : 'none') })
    }
    await until(() => emulator.jobs()[2]?.status.succeeded === 1)
    const names = async (query: { labelSelector?: string; fieldSelector?: string }) =>
      (await api.listNamespacedJob({ namespace, ...query })).items.map(job => job.metadata?.name).join('')
    expect(await names({})).toBe('abc')
    expect(await names({ labelSelector: 'app=a' })).toBe('a')
    expect(await names({ labelSelector: 'app!=a,app' })).toBe('bc')
    expect(await names({ labelSelector: 'app in (a, c)' })).toBe('ac')
    expect(await names({ labelSelector: 'app notin (a,c)' })).toBe('b')
    expect(await names({ labelSelector: '!app' })).toBe('')
    expect(await names({ fieldSelector: 'status.successful=0' })).toBe('ab')
    expect(await names({ fieldSelector: 'metadata.name=b' })).toBe('b')
  })

  test('comes in pages, which expire', async ({ lab }) => {
    const { api, emulator } = await cluster(lab)
    for (const name of ['a', 'b', 'c']) await api.createNamespacedJob({ namespace, body: jobOf(name, 'none') })
    const first = await api.listNamespacedJob({ namespace, limit: 2 })
    const next = (list: V1JobList) => ({ namespace, limit: 2, _continue: list.metadata?._continue ?? '' })
    expect(first.metadata).toMatchObject({ remainingItemCount: 1 })
    const second = await api.listNamespacedJob(next(first))
    expect([...first.items, ...second.items].map(job => job.metadata?.name)).toEqual(['a', 'b', 'c'])
    expect(second.metadata?._continue).toBeUndefined()
    emulator.compact()
    expect(await refusal(api.listNamespacedJob(next(first)))).toMatchObject({ code: 410, reason: 'Expired' })
  })
})

describe('a watch', () => {
  /** What a watch tells from a version on. */
  async function watched(lab: TestContext, given: Awaited<ReturnType<typeof cluster>>, query: Record<string, string>) {
    const told: { type: string; job: V1Job & { code?: number } }[] = []
    let ended = false
    const controller = await given.watch.watch(
      '/apis/batch/v1/namespaces/default/jobs',
      query,
      (type: string, job: V1Job) => void told.push({ type, job }),
      () => {
        ended = true
      },
    )
    lab.onEnd(() => controller.abort())
    return { told, types: () => told.map(({ type }) => type), ended: () => ended }
  }

  test('reports what has changed since a version, and later changes', async ({ lab }) => {
    const given = await cluster(lab, { done: '' })
    const { metadata } = await given.api.listNamespacedJob({ namespace })
    await given.api.createNamespacedJob({ namespace, body: jobOf('one', 'done') })
    const { types, told } = await watched(lab, given, { resourceVersion: metadata?.resourceVersion ?? '' })
    await until(() => conditionsOf(told.at(-1)?.job).includes('Complete CompletionsReached'))
    await given.api.deleteNamespacedJob({ namespace, name: 'one' })
    await until(() => types().includes('DELETED'))
    expect(new Set(types().slice(1, -1))).toEqual(new Set(['MODIFIED']))
    expect([types()[0], types().at(-1)]).toEqual(['ADDED', 'DELETED'])
    const versions = told.map(({ job }) => Number(job.metadata?.resourceVersion))
    expect(versions).toEqual([...versions].sort((a, b) => a - b))
  })

  test('without a version begins with all Jobs, and sends bookmarks', async ({ lab }) => {
    const given = await cluster(lab)
    for (const name of ['a', 'b']) await given.api.createNamespacedJob({ namespace, body: jobOf(name, 'none') })
    const query = { labelSelector: 'app=b', allowWatchBookmarks: 'true', timeoutSeconds: '3' }
    const { types, ended } = await watched(lab, given, query)
    await until(ended)
    expect(types()).toEqual(['ADDED', 'BOOKMARK'])
  })

  test('is silent on a quiet cluster except for one bookmark a minute', async ({ lab }) => {
    const given = await cluster(lab, {}, { secondDuration: 5 })
    const query = { resourceVersion: '1', allowWatchBookmarks: 'true', timeoutSeconds: '150' }
    const { types, ended } = await watched(lab, given, query)
    await until(ended)
    expect(new Set(types())).toEqual(new Set(['BOOKMARK']))
    // One after each minute, and one before the end.
    expect(types().length).toBeLessThanOrEqual(3)
  })

  test('of a version that is too old gets an error, and ends', async ({ lab }) => {
    const given = await cluster(lab)
    given.emulator.compact()
    const { told, ended } = await watched(lab, given, { resourceVersion: '1' })
    await until(ended)
    expect(told).toMatchObject([{ type: 'ERROR', job: { code: 410, reason: 'Expired' } }])
  })
})
