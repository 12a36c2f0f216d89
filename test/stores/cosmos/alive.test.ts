/** A process that only works, on a store whose client keeps no connection open. */
import { Child } from '../../support/child.ts'
import { cosmosAccount } from '../../support/cosmos.ts'
import { test, until } from '../../support/waybill.ts'

const PROCESS = new URL('../../fixtures/schedule-process.ts', import.meta.url)
const account = cosmosAccount()

test('a process without a server lives on while it waits for work', async ({ lab }) => {
  const container = account.container()
  const child = new Child<never, string>(PROCESS, `${account.server.endpoint}#${container.id}`)
  lab.onEnd(() => child.kill())
  await child.started()
  const store = await account.store(container)
  lab.onEnd(() => account.closeStores())
  const ended = async () =>
    (await store.list({ type: 'reports', owner: '', limit: 10 })).filter(it => it.status === 'completed')
  await until(async () => (await ended()).length >= 2)
})
