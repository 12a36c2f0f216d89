/** The emulated Azure, as the real SDKs see it. */
import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { request } from 'node:https'
import { ContainerAppsAPIClient } from '@azure/arm-appcontainers'
import { describe, expect } from 'vitest'
import { emulateAzure } from 'waybill/emulators/azure'
import { makeCertificate } from '../../src/emulators/certificate.ts'
import { azureOf, clientOf, countOf, failFirst, JOB } from '../support/azure.ts'
import { test, until } from '../support/waybill.ts'

const FOR_EVER = 'setInterval(() => {}, 1000)'

/** The status of an answer to a request that no SDK would send, and its document. */
function ask(
  { endpoint, certificate }: { endpoint: string; certificate: string },
  path: string,
  headers: Record<string, string> = {},
  method = 'GET',
): Promise<{ status: number | undefined; text: string }> {
  return new Promise((resolve, reject) => {
    request(`${endpoint}${path}`, { method, headers, ca: certificate }, response => {
      let text = ''
      response.setEncoding('utf8').on('data', (data: string) => {
        text += data
      })
      response.once('end', () => resolve({ status: response.statusCode, text }))
    })
      .once('error', reject)
      .end()
  })
}

describe('its certificate', () => {
  test('is only for the loopback address, cannot sign others, and is new each time', ({ lab: _ }) => {
    const now = Date.UTC(2030, 0, 2)
    const { cert } = makeCertificate(now)
    const parsed = new X509Certificate(cert)
    expect(parsed.checkHost('localhost')).toBe('localhost')
    expect(parsed.checkIP('127.0.0.1')).toBe('127.0.0.1')
    expect(parsed.checkHost('management.azure.com')).toBeUndefined()
    expect([parsed.ca, parsed.verify(parsed.publicKey), parsed.subject]).toEqual([false, true, 'CN=Waybill emulator'])
    expect(Date.parse(parsed.validFrom)).toBe(now - 3_600_000)
    expect(Date.parse(parsed.validTo)).toBe(now + 90 * 86_400_000)
    expect(makeCertificate(now).cert).not.toBe(cert)
  })

  test('is in a file for NODE_EXTRA_CA_CERTS while it runs', async ({ lab }) => {
    const azure = await azureOf(lab, FOR_EVER)
    expect(readFileSync(azure.environment.NODE_EXTRA_CA_CERTS ?? '', 'utf8')).toBe(azure.certificate)
  })
})

describe('its managed identity', () => {
  test.for([
    ['', 'resource=a&api-version=2019-08-01', 401],
    ['secret', 'resource=a&api-version=2019-08-01', 200],
    ['secret', 'api-version=2019-08-01', 400],
    ['secret', 'resource=a&api-version=2017-09-01', 400],
  ] as const)('given the header "%s", answers %s with %i', async ([header, query, status], { lab }) => {
    const { environment } = await azureOf(lab, FOR_EVER)
    const headers = { 'X-IDENTITY-HEADER': header === '' ? 'wrong' : (environment.IDENTITY_HEADER ?? '') }
    expect((await fetch(`${environment.IDENTITY_ENDPOINT}?${query}`, { headers })).status).toBe(status)
  })
})

describe('its Resource Manager', () => {
  test('refuses what the service refuses', async ({ lab }) => {
    const azure = await azureOf(lab, FOR_EVER)
    const good = { authorization: `Bearer ${azure.token()}` }
    const version = 'api-version=2026-07-01'
    const job = `/subscriptions/${azure.subscription}/resourceGroups/local/providers/Microsoft.App/jobs/${JOB}`
    const cases = [
      [`${job}?${version}`, {}, 401, 'AuthenticationFailed'],
      [`${job}?${version}`, { authorization: `Bearer ${azure.token('https://cosmos.azure.com')}` }, 401, 'Authentic'],
      [job, good, 400, 'MissingApiVersionParameter'],
      [`${job}x?${version}`, good, 404, 'ResourceNotFound'],
      [`${job.replace(azure.subscription, 'another')}?${version}`, good, 404, 'SubscriptionNotFound'],
      [`${job.replace('local', 'another')}?${version}`, good, 404, 'ResourceGroupNotFound'],
      [`${job}/executions/none?${version}`, good, 404, 'ResourceNotFound'],
    ] as const
    for (const [path, headers, status, code] of cases) {
      const answer = await ask(azure, path, headers)
      expect(answer).toEqual({ status, text: expect.stringContaining(code) })
    }
    // Every filter is refused: azure-rest-api-specs#26257.
    const filtered = clientOf(azure).jobsExecutions.list('local', JOB, { filter: "status eq 'Running'" })
    await expect(filtered.next()).rejects.toMatchObject({ statusCode: 400, code: 'InvalidParameterValue' })
  })

  test.for([
    [{ containers: [{ name: 'main' }] }, 'Each container needs an image and a name'],
    [{ containers: [] }, 'has no containers'],
  ] as const)('refuses a start with %j', async ([template, message], { lab }) => {
    const azure = await azureOf(lab, FOR_EVER)
    const start = clientOf(azure).jobs.start('local', JOB, { template: structuredClone(template) as object })
    await expect(start.submitted()).rejects.toMatchObject({
      statusCode: 400,
      message: expect.stringContaining(message),
    })
  })

  test.for(['200', '202', '202-async'] as const)(
    'supports the long-running start of the SDK with the response %s',
    async (startAnswer, { lab }) => {
      const azure = await azureOf(lab, FOR_EVER, { startAnswer })
      const { name } = await clientOf(azure).jobs.start('local', JOB)
      expect(name).toBe(azure.executions[0]?.name)
      expect(countOf(azure, 'poll')).toBe({ '200': 0, '202': 2, '202-async': 3 }[startAnswer])
    },
  )

  test('answers a stop before the execution has stopped, and the SDK can wait for its end', async ({ lab }) => {
    const azure = await azureOf(lab, FOR_EVER)
    const client = clientOf(azure)
    const { name } = await client.jobs.start('local', JOB)
    for (const [statuses, polls] of [
      [[202], 2],
      [[202, 200], 0],
    ] as const) {
      const before = countOf(azure, 'poll')
      await client.jobs.stopExecution('local', JOB, name ?? '')
      await azure.executions[0]?.end
      expect(azure.requests.filter(({ kind }) => kind === 'stop').map(({ status }) => status)).toEqual(statuses)
      expect(countOf(azure, 'poll') - before).toBe(polls)
    }
  })

  test('describes a job as the service does, with null for unset properties', async ({ lab }) => {
    const azure = await azureOf(lab, FOR_EVER)
    const job = `/subscriptions/${azure.subscription}/resourceGroups/local/providers/Microsoft.App/jobs/${JOB}`
    const { text } = await ask(azure, `${job}?api-version=2026-07-01`, { authorization: `Bearer ${azure.token()}` })
    expect(JSON.parse(text)).toMatchObject({
      properties: {
        provisioningState: 'Succeeded',
        configuration: { secrets: null, scheduleTriggerConfig: null, registries: null, dapr: null },
        template: { initContainers: null, volumes: null },
      },
    })
  })

  test('makes the SDK repeat a failed start, which a launcher must prevent', async ({ lab }) => {
    const azure = await azureOf(lab, FOR_EVER)
    failFirst(azure, 'start', { acts: 1, answer: { status: 503, headers: { 'retry-after-ms': '1' } } })
    await clientOf(azure).jobs.start('local', JOB).submitted()
    expect(azure.executions).toHaveLength(2)
  })

  test('throttles as a subscription is throttled', async ({ lab }) => {
    const azure = await azureOf(lab, FOR_EVER, { throttle: { writes: { perSecond: 0.5, burst: 1 } }, parallel: 1 })
    const client = new ContainerAppsAPIClient(
      { getToken: async () => ({ token: azure.token(), expiresOnTimestamp: Date.now() + 3_600_000 }) },
      azure.subscription,
      { endpoint: azure.endpoint, tlsOptions: { ca: azure.certificate }, retryOptions: { maxRetries: 0 } },
    )
    await client.jobs.start('local', JOB).submitted()
    await expect(client.jobs.start('local', JOB).submitted()).rejects.toMatchObject({
      statusCode: 429,
      code: 'SubscriptionRequestsThrottled',
    })
    await client.jobs.get('local', JOB)
  })

  test('runs an execution with the template of its start, with secrets and its names in the environment', async ({
    lab,
  }) => {
    const SHOW =
      'process.exit(process.env.KEY === "s3cret" && process.env.EXTRA === "yes" && ' +
      'process.env.CONTAINER_APP_JOB_EXECUTION_NAME.startsWith(process.env.CONTAINER_APP_JOB_NAME) ? 0 : 1)'
    const azure = await emulateAzure({
      jobs: [{ name: JOB, command: ['node', '-e', SHOW], secrets: { key: 's3cret' } }],
    })
    lab.onEnd(() => azure.close())
    const client = clientOf(azure)
    const { template } = await client.jobs.get('local', JOB)
    const [container] = template?.containers ?? []
    const env = [...(container?.env ?? []), { name: 'EXTRA', value: 'yes' }]
    await client.jobs.start('local', JOB, { template: { containers: [{ ...container, env }] } }).submitted()
    await client.jobs.start('local', JOB).submitted()
    await until(() => azure.executions.every(({ endedAt }) => endedAt !== undefined))
    const found = await client.jobExecution('local', JOB, azure.executions[0]?.name ?? '')
    expect(found).toMatchObject({ status: 'Succeeded', startTime: expect.any(Date), endTime: expect.any(Date) })
    expect(found.template?.containers?.[0]?.env).toContainEqual({ name: 'KEY', secretRef: 'key' })
    const failed = await client.jobExecution('local', JOB, azure.executions[1]?.name ?? '')
    expect(failed).toMatchObject({ status: 'Failed', reason: 'BackoffLimitExceeded' })
    expect(failed.detailedStatus?.replicas?.[0]?.containers?.[0]).toMatchObject({ code: 1 })
  })

  test('ends a replica after its timeout, and retries a failed one up to the limit of the job', async ({ lab }) => {
    const jobs = [
      { name: 'slow', command: ['node', '-e', FOR_EVER], replicaTimeout: 0.2 },
      { name: 'failing', command: ['node', '-e', 'process.exit(2)'], replicaRetryLimit: 1 },
    ]
    const azure = await emulateAzure({ jobs, parallel: 2 })
    lab.onEnd(() => azure.close())
    const client = clientOf(azure)
    for (const { name } of jobs) await client.jobs.start('local', name).submitted()
    await until(() => azure.executions.every(({ status }) => status === 'Failed'))
    expect(azure.executions.map(({ reason }) => reason)).toEqual(['DeadlineExceeded', 'BackoffLimitExceeded'])
  })
})

test('a port in use is reported, and nothing is left running', async ({ lab }) => {
  const azure = await azureOf(lab, FOR_EVER)
  const port = Number(new URL(azure.endpoint).port)
  await expect(emulateAzure({ jobs: [], port })).rejects.toMatchObject({ code: 'EADDRINUSE' })
})
