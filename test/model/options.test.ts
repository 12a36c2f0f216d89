/** Options at every door: what is unknown, or cannot be right, fails at once and is named. */
import { readFile } from 'node:fs/promises'
import fastify from 'fastify'
import { describe, expect, test } from 'vitest'
import { defineOperation, handler } from 'waybill'
import { createRoutes } from 'waybill/adapters'
import { folderBlobs } from 'waybill/blobs/folder'
import { postgresBlobs } from 'waybill/blobs/postgres'
import { waybill as plugin } from 'waybill/fastify'
import { runOperation } from 'waybill/job'
import { receiveScaleRequest, storageQueue } from 'waybill/launchers/azure-storage-queue'
import { containerAppsJob } from 'waybill/launchers/container-apps'
import { kubernetesJob } from 'waybill/launchers/kubernetes'
import { processLauncher } from 'waybill/launchers/process'
import { nodeListener } from 'waybill/node'
import { openApiDocument } from 'waybill/openapi'
import { createWaybill } from 'waybill/server'
import { cosmosStore } from 'waybill/stores/cosmos'
import { postgresStore } from 'waybill/stores/postgres'
import { sqliteStore } from 'waybill/stores/sqlite'
import { fetchHandler } from 'waybill/web'
import { optionsPage } from '../../scripts/options-reference.ts'
import { CALLER_OPTIONS } from '../../src/http/principal.ts'
import { API_OPTIONS } from '../../src/http/routes.ts'
import { durationMs } from '../../src/model/duration.ts'
import { checkOptions, OBJECT } from '../../src/model/options.ts'
import { WAYBILL_OPTIONS } from '../../src/waybill.ts'
import { WORKER_OPTIONS } from '../../src/worker/make-worker.ts'

const orders = defineOperation({ name: 'orders' })
const pack = handler(orders, () => 'packed')
const store = sqliteStore({ path: ':memory:' })
const composition = createWaybill({ operations: [orders], store })
const launcher = processLauncher({ entry: './job.ts' })
const queue = Object.fromEntries(
  ['sendMessage', 'peekMessages', 'receiveMessages', 'updateMessage', 'deleteMessage'].map(name => [name, () => {}]),
)
const WEBHOOKS = { secrets: [`whsec_${Buffer.alloc(24).toString('base64')}`] }

/** Options come from JavaScript and from configuration too, so every value is possible. */
type Anything = Record<string, unknown>

/** Each door with options that are right: what a case says is put over them. */
const DOORS = {
  defineOperation: (options: Anything) => defineOperation({ name: 'orders', ...options }),
  createWaybill: (options: Anything) => createWaybill({ operations: [orders], store, ...options }),
  worker: (options: Anything) => createWaybill({ operations: [orders], store, worker: { handlers: pack, ...options } }),
  dispatcher: (options: Anything) =>
    createWaybill({ operations: [orders], store, dispatcher: { launcher, ...options } }),
  autoscale: (options: Anything) =>
    createWaybill({ operations: [orders], store, autoscale: { trigger: { request: async () => {} }, ...options } }),
  webhooks: (options: Anything) =>
    createWaybill({ operations: [orders], store, webhooks: { ...WEBHOOKS, ...options } }),
  runOperation: (options: Anything) => runOperation({ operations: [orders], store, handlers: pack, ...options }),
  sqliteStore: (options: Anything) => sqliteStore({ path: ':memory:', ...options }),
  postgresStore: (options: Anything) => postgresStore({} as never, options),
  cosmosStore: (options: Anything) => cosmosStore({} as never, options),
  folderBlobs: (options: Anything) => folderBlobs({ path: './results', ...options }),
  postgresBlobs: (options: Anything) => postgresBlobs({} as never, options),
  processLauncher: (options: Anything) => processLauncher({ entry: './job.ts', ...options }),
  containerAppsJob: (options: Anything) =>
    containerAppsJob({ jobs: {} } as never, { resourceGroup: 'orders', job: 'orders-job', ...options }),
  kubernetesJob: (options: Anything) =>
    kubernetesJob({ createNamespacedJob: () => {} } as never, {
      namespace: 'orders',
      template: { spec: { template: { spec: { containers: [{ name: 'job' }] } } } },
      ...options,
    }),
  storageQueue: (options: Anything) => storageQueue(queue as never, options),
  receiveScaleRequest: (options: Anything) => receiveScaleRequest(queue as never, options),
  openApiDocument: (options: Anything) => openApiDocument([orders], options),
  createRoutes: (options: Anything) => createRoutes(composition, options),
  fetchHandler: (options: Anything) => fetchHandler(composition, options),
  nodeListener: (options: Anything) => nodeListener(composition, options),
  plugin: async (options: Anything) => await fastify().register(plugin, { operations: [orders], store, ...options }),
}

type Door = keyof typeof DOORS

/** What a door says of options, without its name in front; undefined where it takes them. */
async function refusalOf(door: Door, options: Anything): Promise<string | undefined> {
  try {
    await DOORS[door](options)
    return undefined
  } catch (error) {
    expect(error).toBeInstanceOf(TypeError)
    return (error as TypeError).message
  }
}

/** In front of what each door says. */
const NAMES: Partial<Record<Door, string>> = {
  defineOperation: 'defineOperation("orders")',
  worker: 'worker',
  dispatcher: 'dispatcher',
  autoscale: 'autoscale',
  webhooks: 'webhooks',
  nodeListener: 'nodeListener()',
  plugin: 'register(waybill)',
}

describe.each(Object.keys(DOORS) as Door[])('%s', door => {
  const name = NAMES[door] ?? `${door}()`

  test('refuses an unknown option', async () => {
    expect(await refusalOf(door, { foo: 1 })).toBe(`${name}: unknown option "foo".`)
  })
})

describe('an unknown option', () => {
  const refusal = (options: Anything) => () =>
    checkOptions('worker', options, { leaseDuration: OBJECT, poll: OBJECT }, { lease: 'leaseDuration' })

  test('that was renamed is reported with its new name', () => {
    expect(refusal({ lease: 5 })).toThrow('worker: the option "lease" is now called "leaseDuration".')
  })

  test.each(['leaseDurtion', 'LeaseDuration', 'leasDurations'])('%s is reported with the most similar one', name => {
    expect(refusal({ [name]: 5 })).toThrow(`worker: unknown option "${name}". Did you mean "leaseDuration"?`)
  })

  test.each(['toString', 'constructor', 'x', ''])('%j is similar to no option', name => {
    expect(refusal({ [name]: 5 })).toThrow(new TypeError(`worker: unknown option "${name}".`))
  })
})

test.each<[Door, former: string, name: string]>([
  ['createWaybill', 'wakeup', 'autoscale'],
  ['plugin', 'wakeup', 'autoscale'],
  ['dispatcher', 'hold', 'claimTimeout'],
  ['dispatcher', 'scan', 'pollInterval'],
  ['dispatcher', 'reconcile', 'reconcileInterval'],
  ['autoscale', 'by', 'trigger'],
  ['autoscale', 'share', 'operationsPerExecution'],
  ['autoscale', 'max', 'maxExecutions'],
  ['autoscale', 'scan', 'pollInterval'],
  ['processLauncher', 'limit', 'maxProcesses'],
  ['containerAppsJob', 'keep', 'templateTtl'],
  ['containerAppsJob', 'settle', 'settleTimeout'],
  ['containerAppsJob', 'startup', 'startupTimeout'],
  ['containerAppsJob', 'timeout', 'requestTimeout'],
  ['containerAppsJob', 'watch', 'overdueInterval'],
  ['kubernetesJob', 'start', 'startupTimeout'],
  ['storageQueue', 'keep', 'messageTtl'],
])('%s refuses the former option %s, and names %s', async (door, former, name) => {
  expect(await refusalOf(door, { [former]: 1 })).toContain(`the option "${former}" is now called "${name}".`)
})

test.each<[Door, make: () => unknown, named: string]>([
  ['storageQueue', () => storageQueue({ client: queue } as never), 'client must be a QueueClient'],
  ['receiveScaleRequest', () => receiveScaleRequest({ client: queue } as never), 'client must be a QueueClient'],
  ['containerAppsJob', () => containerAppsJob({ client: {} } as never, {} as never), 'client must be a ContainerApps'],
  ['kubernetesJob', () => kubernetesJob({ api: {} } as never, {} as never), 'api must be a BatchV1Api'],
])('%s has its client as the first argument', async (door, make, named) => {
  const error = await Promise.resolve()
    .then(make)
    .catch((error: unknown) => error)
  expect(error).toBeInstanceOf(TypeError)
  expect((error as TypeError).message).toMatch(
    new RegExp(`^${door}\\(\\): ${named}.*passed as the first argument, not`),
  )
})

/** The servers, and what they take alike. */
const SERVERS = ['fetchHandler', 'nodeListener', 'plugin'] as const

test.each<[Door, Anything, named: string]>([
  ['defineOperation', { resultKey: 5 }, 'resultKey must be a string, not 5'],
  ['defineOperation', { backoff: { initail: 5 } }, 'backoff: unknown option "initail". Did you mean "initial"?'],
  ['defineOperation', { backoff: 5 }, 'backoff must be an object, not 5'],
  ['defineOperation', { rateLimit: { requests: 1, par: '1s' } }, 'rateLimit: unknown option "par"'],
  ['sqliteStore', { synchronous: 'OFF' }, 'synchronous must be "FULL" or "NORMAL", not "OFF"'],
  ['sqliteStore', { synchronous: 'nonsense' }, 'synchronous must be "FULL" or "NORMAL"'],
  ['sqliteStore', { writer: 'foo' }, 'writer must be "thread" or "inline", not "foo"'],
  ['sqliteStore', { path: '' }, 'path must be a string that is not empty, not ""'],
  ['sqliteStore', { path: undefined }, 'path must be a string that is not empty, not undefined'],
  ['sqliteStore', { database: {} }, 'database must be an open connection, not an object'],
  ['postgresStore', { notifications: 'no' }, 'notifications must be true, false or send, not "no"'],
  ['postgresStore', { schema: '' }, 'schema must be a string'],
  ['cosmosStore', { feedMs: 0 }, 'the option "feedMs" is now called "pollInterval"'],
  ['cosmosStore', { pollInterval: 0 }, 'pollInterval must be a number of milliseconds'],
  ['cosmosStore', { blobs: './results' }, 'blobs must be a blob store'],
  ['postgresBlobs', { chunkBytes: 1 }, 'chunkBytes must be a whole number from 1024'],
  ['folderBlobs', { path: '' }, 'path must be a string'],
  ['createWaybill', { store: undefined }, 'store must be a store, such as sqliteStore('],
  ['createWaybill', { store: './orders.db' }, 'store must be a store, such as sqliteStore('],
  ['createWaybill', { operations: orders }, 'operations must be a list of operation types made by defineOperation()'],
  [
    'createWaybill',
    { operations: [{ name: 'orders' }] },
    'operations must be a list of operation types made by defineOperation()',
  ],
  ['createWaybill', { dispatcher: {} }, 'dispatcher.launcher must be a launcher, such as processLauncher('],
  ['createWaybill', { worker: {} }, 'worker.handlers must be given'],
  ['createWaybill', { worker: true }, 'worker must be an object, not true'],
  ['createWaybill', { autoscale: {} }, 'autoscale.trigger must be a scale trigger'],
  ['createWaybill', { maxWaitingRequests: -1 }, 'maxWaitingRequests must be a whole number'],
  ['createWaybill', { logger: console.log }, 'logger must be a logger with info, warn and error, not a function'],
  ['worker', { concurency: 1 }, 'unknown option "concurency". Did you mean "concurrency"?'],
  ['worker', { concurrency: 0 }, 'worker.concurrency must be a whole number from 1 to 10000, not 0'],
  ['worker', { run: 'child' }, 'worker.run must be "children" or "inline"'],
  ['worker', { handlers: [pack, pack] }, 'Two handlers serve the operation type "orders"'],
  ['worker', { handlers: [() => 'packed'] }, 'A handler must be made by handler('],
  ['worker', { lease: '1m' }, 'worker: the option "lease" is now called "leaseDuration".'],
  ['createWaybill', { sweep: '1m' }, 'createWaybill(): the option "sweep" is now called "sweepInterval".'],
  ['plugin', { waiters: 5 }, 'register(waybill): the option "waiters" is now called "maxWaitingRequests".'],
  ['runOperation', { startup: '1m' }, 'runOperation(): the option "startup" is now called "startupTimeout".'],
  ['autoscale', { maxExecutions: 1001 }, 'autoscale.maxExecutions must be a whole number from 1 to 1000'],
  ['webhooks', { allowPrivate: 'no' }, 'webhooks.allowPrivate must be true or false, not "no"'],
  ['webhooks', { baseUrl: 'https://x/?a=b' }, 'webhooks.baseUrl must be an absolute URL'],
  ['webhooks', { ports: 443 }, 'webhooks.ports must be a list'],
  ['runOperation', { store: undefined }, 'store must be a store'],
  ['processLauncher', { entry: undefined }, 'entry must be a path or a file: URL, not undefined'],
  ['processLauncher', { maxProcesses: 0 }, 'maxProcesses must be a whole number'],
  ['processLauncher', { niceness: 'idle' }, 'niceness must be a whole number from 0 to 19'],
  ['processLauncher', { env: { A: 1 } }, 'env must be an object whose values are strings'],
  ['containerAppsJob', { rate: { perSecnd: 1 } }, 'rate: unknown option "perSecnd". Did you mean "perSecond"?'],
  ['kubernetesJob', { template: undefined }, 'template must be an object'],
  ['receiveScaleRequest', { maxDequeueCount: 0 }, 'maxDequeueCount must be a whole number'],
  ['openApiDocument', { maxWait: 'soon' }, 'maxWait must be a number of milliseconds'],
  ['plugin', { waybill: composition, operations: undefined, store: undefined }, 'unknown option "operations"'],
  ...SERVERS.flatMap((server): [Door, Anything, string][] => [
    [server, { principal: 'me' }, 'principal must be a function, not "me"'],
    [server, { challenge: '' }, 'challenge must be a string'],
    [server, { listing: 'yes' }, 'listing must be true or false, not "yes"'],
    [server, { exposeAttempts: 1 }, 'exposeAttempts must be true or false, not 1'],
    [
      server,
      { dialect: 'plain' },
      'dialect must be "redirect" or "accepted" or "azure", or a dialect with the methods',
    ],
    [server, { maxWait: '1h' }, 'maxWait must be a number of milliseconds'],
    [server, { openapi: { tilte: 'Orders' } }, 'openapi: unknown option "tilte". Did you mean "title"?'],
    [server, { cors: { origns: [] } }, 'cors: unknown option "origns". Did you mean "origins"?'],
    [server, { cors: {} }, 'cors.origins must be "*", or a list of origins'],
    [server, { cors: { origins: ['*'], credentials: true } }, 'cors.origins must be "*", or a list of origins'],
    [server, { cors: { origins: '*', credentials: true } }, 'name the origins to allow credentials'],
    [server, { cors: { origins: ['https://app.example.com/'] } }, 'cors.origins must be'],
    [server, { cors: { origins: ['https://app.example.com:443'] } }, 'cors.origins must be'],
    [server, { cors: { origins: ['app.example.com'] } }, 'cors.origins must be'],
    [server, { publicUrl: 'nope' }, 'publicUrl must be an absolute URL of http or https without a query'],
    [server, { publicUrl: '/v1' }, 'publicUrl must be an absolute URL'],
    [server, { publicUrl: '' }, 'publicUrl must be an absolute URL'],
    [server, { publicUrl: 'ftp://api.example.com' }, 'publicUrl must be an absolute URL'],
    [server, { publicUrl: 'https://api.example.com/?a=b' }, 'publicUrl must be an absolute URL'],
    [server, { publicUrl: 'https://api.example.com/#top' }, 'publicUrl must be an absolute URL'],
    [server, { publicUrl: 'https://me:secret@api.example.com' }, 'publicUrl must be an absolute URL'],
    [server, { prefix: 'api' }, 'prefix must be a path that begins with "/", such as "/api", not "api"'],
    [server, { prefix: 'api/' }, 'prefix must be a path that begins with "/"'],
    [server, { prefix: '/api?x' }, 'prefix must be a path'],
  ]),
])('%s refuses %o', async (door, options, named) => {
  expect(await refusalOf(door, options)).toContain(named)
})

/** Each duration that becomes a timer: one of 30 days would fire at once, again and again. */
test.each<[Door, string, string?]>([
  ['defineOperation', 'timeout'],
  ['createWaybill', 'sweepInterval'],
  ['createWaybill', 'storeTimeout'],
  ['worker', 'leaseDuration', 'worker.'],
  ['worker', 'gracePeriod', 'worker.'],
  ['worker', 'shutdownTimeout', 'worker.'],
  ['worker', 'pollInterval', 'worker.'],
  ['autoscale', 'pollInterval', 'autoscale.'],
  ['webhooks', 'timeout', 'webhooks.'],
  ['webhooks', 'pollInterval', 'webhooks.'],
  ['webhooks', 'shutdownTimeout', 'webhooks.'],
  ['containerAppsJob', 'overdueInterval'],
  ['containerAppsJob', 'settleTimeout'],
  ['containerAppsJob', 'requestTimeout'],
  ['kubernetesJob', 'startupTimeout'],
  ['receiveScaleRequest', 'visibilityTimeout'],
  ['dispatcher', 'claimTimeout', 'dispatcher.'],
  ['dispatcher', 'pollInterval', 'dispatcher.'],
  ['dispatcher', 'reconcileInterval', 'dispatcher.'],
  ...SERVERS.map((server): [Door, string] => [server, 'maxWait']),
])('%s refuses a %s that is longer than any timer', async (door, option, where = '') => {
  const message = await refusalOf(door, { [option]: '30d' })
  expect(message).toContain(`${where}${option} must be a number of milliseconds or a`)
  const longest = durationMs('bound', /to (\w+), not/.exec(message ?? '')?.[1])
  // A loop adds up to a tenth to its interval.
  expect(longest * 1.1).toBeLessThan(2 ** 31)
})

test.each<[Door, Anything]>([
  ['sqliteStore', { synchronous: 'NORMAL', writer: 'inline', driver: 'better-sqlite3', clock: Date.now }],
  ['createWaybill', { maxWaitingRequests: 0, webhooks: undefined }],
  ['webhooks', { baseUrl: 'https://api.example.com/v1/', ports: [443], allowHttp: true }],
  ['processLauncher', { entry: new URL('file:///job.ts'), env: { A: '1' }, niceness: 0 }],
  ...SERVERS.flatMap((server): [Door, Anything][] => [
    [
      server,
      { cors: { origins: ['https://app.example.com', 'http://127.0.0.1:3000', 'null', 'capacitor://localhost'] } },
    ],
    [server, { cors: { origins: [] }, publicUrl: 'https://api.example.com/v1/', prefix: '/api', metrics: false }],
    [server, { openapi: false, prefix: '', challenge: 'Basic realm="orders"' }],
  ]),
  ['plugin', { logLevel: 'warn', prefix: '/api/' }],
])('%s accepts %o', async (door, options) => {
  expect(await refusalOf(door, options)).toBeUndefined()
})

test.each([undefined, null, 'sqlite', ['sqlite']])('%o is not an object of options', options => {
  expect(() => sqliteStore(options as never)).toThrow(/^sqliteStore\(\) takes its options as an object, not /)
  expect(() => defineOperation(options as never)).toThrow(TypeError)
})

test('a handler file that is given twice is refused when the worker starts', async () => {
  const file = new URL('../fixtures/handlers/files.ts', import.meta.url)
  const type = defineOperation({ name: 'files' })
  for (const run of ['inline', 'children'] as const) {
    const waybill = createWaybill({
      operations: [type],
      store: sqliteStore({ path: ':memory:' }),
      worker: { handlers: [file, file], run },
    })
    await expect(waybill.start()).rejects.toThrow('Two handlers serve the operation type "files"')
  }
})

test('docs/reference/options.md agrees with the interfaces and the checks of the options', async () => {
  const page = await readFile(new URL('../../docs/reference/options.md', import.meta.url), 'utf8')
  expect(page, 'node scripts/options-reference.ts writes it').toBe(optionsPage())
  const known = { ...API_OPTIONS, ...CALLER_OPTIONS, ...WAYBILL_OPTIONS, ...WORKER_OPTIONS, publicUrl: 1, prefix: 1 }
  for (const option of Object.keys(known)) expect(page).toContain(`\n| \`${option}\` |`)
})
