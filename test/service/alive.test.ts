/** A process that only works, on stores that keep no process alive by a connection or a thread. */
import { Child } from '../support/child.ts'
import { cosmosAccount } from '../support/cosmos.ts'
import { onlyLong } from '../support/length.ts'
import { type TestContext, test } from '../support/waybill.ts'

const PROCESS = new URL('../fixtures/working-process.ts', import.meta.url)

async function staysAlive(lab: TestContext, place: string): Promise<void> {
  const child = new Child<never, string>(PROCESS, place)
  lab.onEnd(() => child.kill())
  await child.started()
  await child.reported(2, report => report === 'completed')
}

test('a process without a server stays alive while it waits for work (SQLite in memory)', async ({ lab }) => {
  await staysAlive(lab, 'sqlite::memory:')
})

onlyLong(() => {
  const account = cosmosAccount()

  test('a process without a server stays alive while it waits for work (Cosmos DB)', async ({ lab }) => {
    const container = account.container()
    await staysAlive(lab, `${account.server.endpoint}#${container.id}`)
  })
})()

test('a process ends by itself once its Waybill has stopped, also if it was started twice', async ({ lab }) => {
  const child = new Child<never, string>(PROCESS, 'sqlite::memory:', 'stop')
  lab.onEnd(() => child.kill())
  await child.started()
  await child.ended()
})
