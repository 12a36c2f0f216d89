/** Who is compared, and with whose settings. */
import { embedded, postgres, redis, restate, type StartService } from './services.ts'

export interface Contender {
  /** A file of `peers/`, or one of ours. */
  readonly name: string
  readonly store: 'SQLite' | 'PostgreSQL' | 'Redis' | 'Restate'
  readonly start: StartService
  /** `floor` is what the machine allows, `peer` what a user would take instead. */
  readonly kind: 'waybill' | 'floor' | 'peer'
  /** Whether one process accepts and works; else the worker is a process of its own. */
  readonly oneProcess: boolean
  /** Whether orders are taken while no worker runs. Where not, the drain begins with the first order. */
  readonly waits: boolean
  /** Options of Node for its processes. Default: none. */
  readonly execArgv?: readonly string[]
  /** Variables of their environment. Default: none. */
  readonly env?: NodeJS.ProcessEnv
  /** What is batched, and whose settings are used; for readers of the report. */
  readonly settings: string
}

/** As the images of Waybill start it: `Dockerfile` and `templates/Dockerfile`. */
const IMAGE = { execArgv: ['--max-semi-space-size=8'], env: { MALLOC_ARENA_MAX: '2' } }
const AS_IMAGE = `Node as in the image: ${IMAGE.execArgv}, MALLOC_ARENA_MAX=${IMAGE.env.MALLOC_ARENA_MAX}.`

export const CONTENDERS: readonly Contender[] = [
  {
    name: 'Waybill on SQLite',
    store: 'SQLite',
    start: embedded,
    kind: 'waybill',
    oneProcess: true,
    waits: true,
    ...IMAGE,
    settings: `Defaults: synchronous=FULL. Concurrent writes share a transaction. ${AS_IMAGE}`,
  },
  {
    name: 'Waybill on PostgreSQL',
    store: 'PostgreSQL',
    start: postgres,
    kind: 'waybill',
    oneProcess: false,
    waits: true,
    ...IMAGE,
    settings: `Defaults. Concurrent writes share a statement. ${AS_IMAGE}`,
  },
  {
    name: 'floor on SQLite',
    store: 'SQLite',
    start: embedded,
    kind: 'floor',
    oneProcess: true,
    waits: true,
    settings: 'The same rows with node:sqlite, grouped into transactions by hand, synchronous=FULL.',
  },
  {
    name: 'floor on PostgreSQL',
    store: 'PostgreSQL',
    start: postgres,
    kind: 'floor',
    oneProcess: false,
    waits: true,
    settings: 'The same rows with pg, grouped by hand into statements over unnest.',
  },
  {
    name: 'bullmq',
    store: 'Redis',
    start: redis,
    kind: 'peer',
    oneProcess: false,
    waits: true,
    settings: 'appendfsync always. Waits by QueueEvents.',
  },
  {
    name: 'pg-boss',
    store: 'PostgreSQL',
    start: postgres,
    kind: 'peer',
    oneProcess: false,
    waits: true,
    settings:
      'useListenNotify, batchSize 500, burstWhenBatchFull, perJobResults: as its page on throughput recommends.',
  },
  {
    name: 'graphile-worker',
    store: 'PostgreSQL',
    start: postgres,
    kind: 'peer',
    oneProcess: false,
    waits: true,
    settings:
      'localQueue 500, completeJobBatchDelay 0: as its page on performance recommends. Results are in a table of our own.',
  },
  {
    name: 'dbos',
    store: 'PostgreSQL',
    start: postgres,
    kind: 'peer',
    oneProcess: false,
    waits: true,
    settings: 'A queue with minPollingIntervalMs 10 and four times the concurrency; pools of 20 connections.',
  },
  {
    name: 'restate',
    store: 'Restate',
    start: restate,
    kind: 'peer',
    oneProcess: false,
    waits: false,
    settings: 'A workflow for each order; its server from npm, with its defaults.',
  },
]
