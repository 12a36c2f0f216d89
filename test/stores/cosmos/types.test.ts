import { type Container, CosmosClient } from '@azure/cosmos'
import { expect, expectTypeOf, it } from 'vitest'
import type { CosmosContainer } from '../../../src/stores/cosmos/container.ts'

it('the store accepts the Container of the real SDK unchanged', () => {
  expectTypeOf<Container>().toExtend<CosmosContainer>()
  const client = new CosmosClient({ endpoint: 'https://localhost:1', key: 'a2V5' })
  const container: CosmosContainer = client.database('waybill').container('operations')
  expect(container.id).toBe('operations')
  client.dispose()
})
