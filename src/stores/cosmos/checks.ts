/** Checks the settings of an account and a container that the store depends on, as far as the service reports them. */
import type { CosmosAccountDefinition, CosmosContainerDefinition } from './container.ts'

/** With these consistency levels, every read in the region sees every acknowledged write. */
const STRONG: readonly string[] = ['Strong', 'BoundedStaleness']

/**
 * @throws if two processes could both claim an operation, or a process could read an older state than it has written
 */
export function checkAccount(account: CosmosAccountDefinition | undefined): void {
  if (account === undefined) return
  const { consistencyPolicy, enableMultipleWritableLocations } = account
  if (enableMultipleWritableLocations) {
    throw new Error(
      'The Cosmos DB account has several write regions, where two workers could claim one operation. Waybill needs an account with one write region.',
    )
  }
  if (STRONG.includes(consistencyPolicy)) return
  if (consistencyPolicy !== 'Session') {
    throw new Error(
      `The default consistency of the Cosmos DB account is ${consistencyPolicy}, where an acknowledged write can be read as not made. Set it to Strong.`,
    )
  }
  process.emitWarning(
    'The default consistency of the Cosmos DB account is Session, so a process can read the previous state of what another one has just written. Set it to Strong.',
    { code: 'WAYBILL_COSMOS_CONSISTENCY' },
  )
}

/** @throws if the container has another partition key */
export function checkContainer(id: string, definition: CosmosContainerDefinition | undefined): void {
  const paths = definition?.partitionKey?.paths.join(', ') ?? 'unknown'
  if (paths !== '/id') {
    throw new Error(
      `The container "${id}" has the partition key ${paths}. Waybill needs one with the partition key /id.`,
    )
  }
  if (definition?.defaultTtl === undefined) {
    process.emitWarning(
      `The container "${id}" has no default TTL, so expired operations are deleted only while a process sweeps. Set it to -1.`,
      { code: 'WAYBILL_COSMOS_TTL' },
    )
  }
}
