/** The options of the Cosmos DB store, and how they are read. */
import type { BlobStore } from '../../blobs/blob-store.ts'
import { type Duration, HOUR, toMs } from '../../model/duration.ts'
import { BLOB_STORE, type Checks, checkOptions, duration, FUNCTION, type RenamedOptions } from '../../model/options.ts'
import { ClockSteps } from '../clock-steps.ts'

/** Options of `cosmosStore`. */
export interface CosmosStoreOptions {
  /**
   * The time between two reads of the change feed while something listens. While nothing happens, it grows to a tenth
   * of the time since the last change, up to 30 s. Default 1 s.
   */
  readonly pollInterval?: Duration | undefined
  /**
   * Keeps inputs, outputs and outcomes of steps that are too large for an item, 2 MB. Pass the same one to
   * `createWaybill`, which deletes what a crash has left. Default: a too large input is refused, a too large output
   * fails its operation, and a too large step fails its attempt.
   */
  readonly blobs?: BlobStore | undefined
  /** How long one call of the service may take, its repetitions included, up to 1 h. Default 9 s. */
  readonly timeout?: Duration | undefined
  /** Called with the request units that each response of the service cost, and the name of the call. */
  readonly onCharge?: ((charge: number, call: string) => void) | undefined
  /**
   * The store's clock in milliseconds since the epoch. Default: the clock of the service, computed from its answers.
   */
  readonly clock?: (() => number) | undefined
  /**
   * A clock in milliseconds that is never set, by which steps of `clock` are detected. Default `performance.now`, or
   * `clock` itself if that option is set: then no steps are detected.
   */
  readonly monotonicClock?: (() => number) | undefined
}

const DURATION = duration({ min: 1, max: HOUR })
const OPTIONS: Checks<CosmosStoreOptions> = {
  pollInterval: DURATION,
  blobs: BLOB_STORE,
  timeout: DURATION,
  onCharge: FUNCTION,
  clock: FUNCTION,
  monotonicClock: FUNCTION,
}

const RENAMED: RenamedOptions<CosmosStoreOptions> = { feedMs: 'pollInterval', timeoutMs: 'timeout' }

/** The options with every default filled in. */
export interface CosmosStoreSettings {
  readonly pollMs: number
  readonly timeoutMs: number
  readonly blobs: BlobStore | undefined
  readonly onCharge: ((charge: number, call: string) => void) | undefined
  /** Replaces the service's clock; undefined: the service's clock is used. */
  readonly clock: (() => number) | undefined
  readonly monotonicClock: () => number
  readonly steps: ClockSteps
}

/** @throws {TypeError} for an unknown or invalid option; the message names it */
export function readCosmosOptions(options: CosmosStoreOptions): CosmosStoreSettings {
  checkOptions('cosmosStore()', options, OPTIONS, RENAMED)
  const { pollInterval = '1s', timeout = '9s', blobs, onCharge, clock, monotonicClock } = options
  return {
    pollMs: toMs(pollInterval),
    timeoutMs: toMs(timeout),
    blobs,
    onCharge,
    clock,
    monotonicClock: monotonicClock ?? (() => performance.now()),
    steps: new ClockSteps(monotonicClock ?? clock),
  }
}
