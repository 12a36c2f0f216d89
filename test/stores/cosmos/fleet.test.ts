import { afterEach, expect } from 'vitest'
import { handler } from 'waybill'
import { cosmosAccount } from '../../support/cosmos.ts'
import { play, plays } from '../../support/handlers.ts'
import { hasFinished, resultOf, submit, test } from '../../support/waybill.ts'

const account = cosmosAccount()

afterEach(() => account.closeStores())

test('an operation goes from the process that accepted it to a worker in another one, woken by the change feed', async ({
  lab,
}) => {
  const container = account.container()
  const [front, back] = [await account.store(container), await account.store(container)]
  const type = plays()
  const double = handler(type, async (_, job) => {
    const charge = await job.step('charge', () => 21)
    job.progress(0.5, 'Half')
    job.log('Charged')
    return charge * 2
  })
  await lab.waybill([type], { store: back, worker: { handlers: double, pollInterval: 30_000 } })
  const api = await lab.waybill([type], { store: front })
  const ids = await Promise.all(Array.from({ length: 20 }, () => submit(api, type, play())))
  for (const id of ids) expect(await resultOf(front, id)).toBe(42)
  const { history, progress } = await hasFinished(front, ids[0] ?? '')
  expect(history).toHaveLength(1)
  expect(progress).toEqual({ fraction: 1, message: 'Half' })
  expect(await front.logs(ids[0] ?? '', 0)).toMatchObject([{ message: 'Charged', attempt: 1 }])
})
