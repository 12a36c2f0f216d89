import { ContainerAppsAPIClient } from '@azure/arm-appcontainers'
import { describe, expect, expectTypeOf } from 'vitest'
import { type ContainerAppsClient, containerAppsJob } from 'waybill/launchers/container-apps'
import { LaunchRefused } from '../../../src/launchers/launcher.ts'
import type { Duration } from '../../../src/model/duration.ts'
import { azureOf, clientOf, countOf, failFirst, JOB, launcherOf, requestFor } from '../../support/azure.ts'
import { test, until } from '../../support/waybill.ts'

const NOTHING = ''
const FOR_EVER = 'setInterval(() => {}, 1000)'

/** Only an answer that never comes has to end a request: on a slow machine, others take long too. */
function patience(answer: unknown): { readonly requestTimeout?: Duration } {
  return answer === 'silence' ? { requestTimeout: '3s' } : {}
}

/** What an attempt to start was refused with. */
async function refusal(start: Promise<unknown>): Promise<LaunchRefused> {
  const error = await start.catch((it: unknown) => it)
  if (error instanceof LaunchRefused) return error
  throw new Error(`It was not refused: ${error}`)
}

describe('the client', () => {
  test('of the real SDK is accepted unchanged', ({ lab: _ }) => {
    expectTypeOf<ContainerAppsAPIClient>().toExtend<ContainerAppsClient>()
    const client: ContainerAppsClient = new ContainerAppsAPIClient({ getToken: async () => null }, 'a')
    expect(client.jobs.start).toBeTypeOf('function')
  })

  test.for([{ resourceGroup: '' }, { job: '' }, { settleTimeout: '1h' }, { rate: { perSecond: 0 } }] as const)(
    'an invalid option is refused with its name: %j',
    (wrong, { lab: _ }) => {
      const client = new ContainerAppsAPIClient({ getToken: async () => null }, 'a')
      const [name = ''] = Object.keys(wrong)
      const options = { resourceGroup: 'group', job: JOB, ...wrong }
      expect(() => containerAppsJob(client, options)).toThrow(new RegExp(`^containerAppsJob\\(\\): ${name}\\b`))
    },
  )
})

describe('a start', () => {
  test('carries the operation in the environment, and the rest of the template as it is', async ({ lab }) => {
    const azure = await azureOf(lab, NOTHING)
    azure.job(JOB).template = {
      containers: [
        {
          name: 'main',
          image: 'registry/orders:1',
          args: ['--fast'],
          env: [
            { name: 'ORDER_ID', value: 'old' },
            { name: 'KEY', secretRef: 'key' },
            { name: 'PLAIN', value: 'kept' },
          ],
          resources: { cpu: 2, memory: '4Gi' },
        },
        { name: 'sidecar', image: 'registry/sidecar:1', env: [{ name: 'ORDER_ID', value: 'its own' }] },
      ],
      initContainers: [{ name: 'init', image: 'registry/init:1' }],
    }
    const { launcher, warnings } = launcherOf(lab, azure, { variable: 'ORDER_ID', env: { EXTRA: 'yes' } })
    await launcher.start(requestFor('an-order', { attempt: 2 }))
    const sent: unknown = JSON.parse(azure.requests.find(({ kind }) => kind === 'start')?.body ?? '')
    expect(sent).toEqual({
      containers: [
        {
          name: 'main',
          image: 'registry/orders:1',
          args: ['--fast'],
          env: [
            { name: 'KEY', secretRef: 'key' },
            { name: 'PLAIN', value: 'kept' },
            { name: 'EXTRA', value: 'yes' },
            { name: 'ORDER_ID', value: 'an-order' },
            { name: 'WAYBILL_OPERATION_ID', value: 'an-order' },
            { name: 'WAYBILL_ENGINE', value: 'container-apps' },
            { name: 'WAYBILL_ATTEMPT', value: '2' },
            { name: 'WAYBILL_LAUNCH', value: '1' },
            { name: 'WAYBILL_TIMEOUT_MS', value: '60000' },
          ],
          resources: { cpu: 2, memory: '4Gi' },
        },
        { name: 'sidecar', image: 'registry/sidecar:1', env: [{ name: 'ORDER_ID', value: 'its own' }] },
      ],
      initContainers: [{ name: 'init', image: 'registry/init:1' }],
    })
    expect(warnings).toEqual([])
  })

  test('works on a job without any environment, and can name another container', async ({ lab }) => {
    const azure = await azureOf(lab, NOTHING)
    const containers = [
      { name: 'main', image: 'a' },
      { name: 'worker', image: 'b' },
    ]
    azure.job(JOB).template = { containers }
    const { launcher } = launcherOf(lab, azure, { container: 'worker' })
    await launcher.start(requestFor('an-order'))
    expect(azure.executions[0]?.template.containers[0]).toEqual({ name: 'main', image: 'a' })
    expect(azure.executions[0]?.template.containers[1]?.env).toContainEqual({
      name: 'WAYBILL_OPERATION_ID',
      value: 'an-order',
    })
  })

  test('reads the template once, and again when its cache time is over', async ({ lab }) => {
    const azure = await azureOf(lab, NOTHING)
    const { launcher } = launcherOf(lab, azure)
    for (const id of ['a', 'b', 'c']) await launcher.start(requestFor(id))
    expect(countOf(azure, 'job')).toBe(1)
    const forgetful = launcherOf(lab, azure, { templateTtl: 0 }).launcher
    await forgetful.start(requestFor('d'))
    azure.job(JOB).template = { containers: [{ name: 'main', image: 'registry/orders:2' }] }
    await forgetful.start(requestFor('e'))
    expect(azure.executions.at(-1)?.template.containers[0]?.image).toBe('registry/orders:2')
    failFirst(azure, 'job', { answer: { status: 404 } }, 9)
    await forgetful.start(requestFor('f'))
    expect(azure.executions).toHaveLength(6)
  })

  test.for(['200', '202', '202-nameless', '202-async'] as const)(
    'answered with %s ends at once, and has the name of the execution',
    async (startAnswer, { lab }) => {
      const azure = await azureOf(lab, NOTHING, { startAnswer })
      const { launcher } = launcherOf(lab, azure)
      expect(await launcher.start(requestFor('an-order'))).toBe(azure.executions[0]?.name)
      expect(countOf(azure, 'start')).toBe(1)
      expect(countOf(azure, 'poll')).toBe(0)
    },
  )

  test.for([
    [429, { 'retry-after': '7' }, 7000],
    [429, { 'retry-after-ms': '1500' }, 1500],
    [429, { 'retry-after': '0' }, 1000],
    [503, { 'retry-after': '864000' }, 600_000],
    [429, { date: 'Sun, 06 Nov 1994 08:49:37 GMT', 'retry-after': 'Sun, 06 Nov 1994 08:49:41 GMT' }, 4000],
    [429, {}, 5000],
    [409, {}, 5000],
    [403, {}, 30_000],
    [400, {}, 30_000],
  ] as const)('refused with %i %j is sent once, and may be retried after %i ms', async (it, { lab }) => {
    const [status, headers, retryAfterMs] = it
    const azure = await azureOf(lab, NOTHING)
    const { launcher, warnings } = launcherOf(lab, azure)
    failFirst(azure, 'start', { answer: { status, headers } })
    expect((await refusal(launcher.start(requestFor('an-order')))).retryAfterMs).toBe(retryAfterMs)
    expect(countOf(azure, 'start')).toBe(1)
    expect(azure.executions).toHaveLength(0)
    expect(warnings.join()).toMatch(
      status === 403 ? /role Container Apps Jobs Operator/ : status === 400 ? /Check/ : /^$/,
    )
  })

  test.for([
    { answer: 'cut' },
    { answer: { status: 500 } },
    { answer: { status: 503, headers: { 'retry-after': '9' } } },
    { answer: 'silence' },
  ] as const)('that failed with %j and left no execution is sent once, and may be retried', async (fault, { lab }) => {
    const azure = await azureOf(lab, NOTHING)
    const { launcher } = launcherOf(lab, azure, patience(fault.answer))
    await launcher.open?.()
    failFirst(azure, 'start', fault)
    const { retryAfterMs } = await refusal(launcher.start(requestFor('an-order')))
    expect(retryAfterMs).toBe(typeof fault.answer === 'object' && fault.answer.status === 503 ? 9000 : 1000)
    expect(countOf(azure, 'start')).toBe(1)
  })

  test.for([
    { answer: 'cut' },
    { answer: { status: 500 } },
    { answer: { status: 503 } },
    { answer: 'silence' },
  ] as const)(
    'that was made and answered with %j is found by the environment of its execution',
    async ({ answer }, { lab }) => {
      const azure = await azureOf(lab, NOTHING)
      const { launcher } = launcherOf(lab, azure, { ...patience(answer), settleTimeout: '40s' })
      await launcher.open?.()
      for (const id of ['another', 'and-another']) await launcher.start(requestFor(id))
      failFirst(azure, 'start', { acts: 1, answer })
      const name = await launcher.start(requestFor('an-order'))
      expect(name).toBe(azure.executions.find(it => it.variable('WAYBILL_OPERATION_ID') === 'an-order')?.name)
      expect(countOf(azure, 'start')).toBe(3)
    },
  )

  test('whose response is lost is found once its execution is listed', async ({ lab }) => {
    const azure = await azureOf(lab, NOTHING, { listDelay: 300 })
    const { launcher } = launcherOf(lab, azure, { settleTimeout: '30s' })
    failFirst(azure, 'start', { acts: 1, answer: 'cut' })
    expect(await launcher.start(requestFor('an-order'))).toBe(azure.executions[0]?.name)
    expect(azure.executions).toHaveLength(1)
  })

  test('whose execution cannot be listed is reported as unclear', async ({ lab }) => {
    const azure = await azureOf(lab, NOTHING)
    const { launcher } = launcherOf(lab, azure)
    azure.fail(({ kind }) => (kind === 'start' ? { answer: 'cut' } : kind === 'executions' ? REFUSED : undefined))
    await expect(launcher.start(requestFor('an-order'))).rejects.toThrow('The start got no answer')
  })

  test('without a token is refused, and nothing is sent', async ({ lab }) => {
    const azure = await azureOf(lab, NOTHING)
    let tokens = 0
    const client = clientOf(azure, async () => {
      if (tokens++ > 0) throw new Error('The identity is away.')
      return azure.token()
    })
    const { launcher } = launcherOf(lab, azure, { client: client })
    expect((await refusal(launcher.start(requestFor('an-order')))).message).toContain('No execution can be started')
    expect(countOf(azure, 'start')).toBe(0)
  })

  test('for an operation with a running execution returns that execution', async ({ lab }) => {
    const azure = await azureOf(lab, FOR_EVER)
    const { launcher } = launcherOf(lab, azure)
    const first = await launcher.start(requestFor('an-order'))
    expect(await launcher.start(requestFor('an-order', { launch: 2 }))).toBe(first)
    // After an attempt, an execution of the time before it is none of ours.
    expect(await launcher.start(requestFor('an-order', { attempt: 1, launch: 2 }))).not.toBe(first)
    azure.executions[0]?.kill()
    await until(() => azure.executions[0]?.status === 'Failed')
    expect(await launcher.start(requestFor('an-order', { launch: 2 }))).not.toBe(first)
    expect(azure.executions).toHaveLength(3)
  })

  test('waits for the rate limit, and is refused if that takes too long', async ({ lab }) => {
    const azure = await azureOf(lab, NOTHING)
    const { launcher } = launcherOf(lab, azure, { rate: { perSecond: 10, burst: 2 } })
    await Promise.all(['a', 'b', 'c', 'd', 'e'].map(id => launcher.start(requestFor(id))))
    const at = azure.requests.filter(({ kind }) => kind === 'start').map(it => it.at)
    expect((at[4] ?? 0) - (at[0] ?? 0)).toBeGreaterThan(250)
    failFirst(azure, 'start', { answer: { status: 429, headers: { 'retry-after': '60' } } })
    await refusal(launcher.start(requestFor('f')))
    expect((await refusal(launcher.start(requestFor('g')))).retryAfterMs).toBeGreaterThan(50_000)
    expect(countOf(azure, 'start')).toBe(6)
  })
})

/** An answer that the SDK does not try to better. */
const REFUSED = { answer: { status: 403 } } as const

describe('at its start, the launcher warns', () => {
  test('about properties that executions lose, and about unsuitable jobs', async ({ lab }) => {
    const azure = await azureOf(lab, NOTHING, {
      jobs: [
        {
          name: JOB,
          command: ['node'],
          replicaRetryLimit: 3,
          replicaTimeout: 10,
          template: {
            containers: [{ name: 'main', image: 'a', volumeMounts: [{}], probes: [{}] }],
            volumes: [{ name: 'files' }],
          },
        },
      ],
    })
    const { launcher, warnings } = launcherOf(lab, azure)
    await launcher.open?.()
    expect(warnings).toEqual([
      expect.stringContaining('volumes, volume mounts, probes, which Azure drops'),
      expect.stringContaining('set replicaRetryLimit to 0'),
    ])
    await launcher.start(requestFor('an-order'))
    expect(warnings.at(-1)).toContain('Raise replicaTimeout')
  })

  test.for([
    [403, /Container Apps Jobs Operator/],
    [404, /Check subscription, resourceGroup and job/],
  ] as const)('about a job that it cannot read (%i), with the cure, and starts', async (it, { lab }) => {
    const [status, cure] = it
    const azure = await azureOf(lab, NOTHING)
    const { launcher, warnings } = launcherOf(lab, azure)
    failFirst(azure, 'job', { answer: { status } })
    await launcher.open?.()
    expect(warnings).toEqual([expect.stringMatching(cure)])
    expect(await launcher.start(requestFor('an-order'))).toBeTypeOf('string')
  })
})

describe('an execution', () => {
  test('is alive while it runs, and gone with its reason and exit code when it has failed', async ({ lab }) => {
    const azure = await azureOf(lab, `${FOR_EVER}; process.once('SIGTERM', () => process.exit(3))`)
    const { launcher } = launcherOf(lab, azure)
    const name = (await launcher.start(requestFor('an-order'))) ?? ''
    expect(await launcher.inspect(name)).toEqual({ kind: 'alive' })
    await until(() => azure.executions[0]?.status === 'Running')
    azure.executions[0]?.kill('SIGKILL')
    await until(async () => (await launcher.inspect(name)).kind === 'gone')
    const { reason } = (await launcher.inspect(name)) as { reason: string }
    expect(reason).toContain(`Its execution ${name} is Failed (BackoffLimitExceeded`)
    expect(reason).toContain(`exit code 137 of ${JOB}`)
  })

  test('that the engine does not know is gone, but not directly after its start', async ({ lab }) => {
    const azure = await azureOf(lab, FOR_EVER)
    const { launcher: patient } = launcherOf(lab, azure, { settleTimeout: '40s' })
    failFirst(azure, 'start', { acts: 0 })
    const recent = (await patient.start(requestFor('an-order'))) ?? ''
    expect(await patient.inspect(recent)).toEqual({ kind: 'alive' })
    const { launcher } = launcherOf(lab, azure)
    failFirst(azure, 'start', { acts: 0 })
    const name = (await launcher.start(requestFor('an-order'))) ?? ''
    await until(async () => (await launcher.inspect(name)).kind === 'gone')
    expect(await launcher.inspect('another')).toEqual({
      kind: 'gone',
      reason: 'Its execution another is unknown to Azure Container Apps.',
    })
  })

  test('can be stopped, and stopping one that is gone is not an error', async ({ lab }) => {
    const azure = await azureOf(lab, FOR_EVER)
    const { launcher } = launcherOf(lab, azure)
    const name = (await launcher.start(requestFor('an-order'))) ?? ''
    await until(() => azure.executions[0]?.status === 'Running')
    await launcher.stop(name)
    await until(() => azure.executions[0]?.status === 'Stopped')
    await until(async () => (await launcher.inspect(name)).kind === 'gone')
    await launcher.stop(name)
    failFirst(azure, 'stop', { answer: { status: 409 } })
    await launcher.stop(name)
    await launcher.stop('unknown')
  })

  test('is found in one listing with all others, page by page', async ({ lab }) => {
    const azure = await azureOf(lab, FOR_EVER, { pageSize: 3, parallel: 1 })
    const { launcher } = launcherOf(lab, azure)
    const names: string[] = []
    for (const id of Array(7).keys()) names.push((await launcher.start(requestFor(`order-${id}`))) ?? '')
    const states = await Promise.all(names.map(name => launcher.inspect(name)))
    expect(states).toEqual(names.map(() => ({ kind: 'alive' })))
    expect(countOf(azure, 'executions')).toBe(3)
    expect(countOf(azure, 'execution')).toBe(0)
  })

  test('is requested by its name if the listing is too long', async ({ lab }) => {
    const azure = await azureOf(lab, FOR_EVER, { pageSize: 1, parallel: 1 })
    const { launcher } = launcherOf(lab, azure)
    const names: string[] = []
    for (const id of Array(14).keys()) names.push((await launcher.start(requestFor(`order-${id}`))) ?? '')
    expect(await launcher.inspect(names[0] ?? '')).toEqual({ kind: 'alive' })
    expect(countOf(azure, 'execution')).toBe(1)
    failFirst(azure, 'start', { acts: 1, answer: 'cut' })
    expect(await launcher.start(requestFor('a-late-one'))).toBe(azure.executions.at(-1)?.name)
  })

  test('that is older than its timeout and startup time is stopped, whichever process has started it', async ({
    lab,
  }) => {
    const azure = await azureOf(lab, FOR_EVER)
    const starter = launcherOf(lab, azure).launcher
    await starter.start(requestFor('overdue', { timeoutMs: 50 }))
    await starter.start(requestFor('in-time'))
    const { launcher } = launcherOf(lab, azure, { startupTimeout: 0, overdueInterval: 50 })
    await launcher.open?.()
    await until(() => azure.executions[0]?.status === 'Stopped')
    expect(azure.executions[1]?.status).toBe('Running')
    expect(countOf(azure, 'stop')).toBe(1)
  })
})

test('two launchers can share a client', async ({ lab }) => {
  const azure = await azureOf(lab, NOTHING)
  const client = clientOf(azure)
  const launchers = [1, 2].map(() => launcherOf(lab, azure, { client }).launcher)
  failFirst(azure, 'start', { answer: { status: 503 } }, 2)
  for (const launcher of launchers) await refusal(launcher.start(requestFor('an-order')))
  expect(countOf(azure, 'start')).toBe(2)
})

test('a closed launcher ends its waits', async ({ lab }) => {
  const azure = await azureOf(lab, NOTHING)
  const { launcher } = launcherOf(lab, azure, { settleTimeout: '40s' })
  failFirst(azure, 'start', { answer: 'cut' })
  const start = launcher.start(requestFor('an-order'))
  await until(() => countOf(azure, 'executions') > 0)
  await launcher.close?.()
  await expect(start).rejects.toThrow()
  await refusal(launcher.start(requestFor('another')))
})
