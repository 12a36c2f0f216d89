/** Many orders at once, and an Azure Resource Manager that throttles, loses answers and acts twice. */
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { rolldown } from 'rolldown'
import { expect } from 'vitest'
import type { Fault } from 'waybill/emulators/azure'
import { sqliteStore } from 'waybill/stores/sqlite'
import type { Store } from '../../../src/stores/store.ts'
import { tiny } from '../../fixtures/azure/tiny.ts'
import { azureOf, countOf, launcherOf } from '../../support/azure.ts'
import { atLength } from '../../support/length.ts'
import { countUnfinished } from '../../support/unfinished.ts'
import { submit, test } from '../../support/waybill.ts'

/** Each is the start of a process: `npm run faults` takes five hundred. */
const ORDERS = Number(process.env.WAYBILL_ORDERS ?? atLength(20, 80))

/**
 * Of ten starts, one is made and loses its answer, one is made twice, and in turn one is neither made nor answered, or
 * throttled, as others are where they come too fast.
 */
function faultOf(start: number): Fault | undefined {
  if (start % 10 === 3) return { acts: 1, answer: start % 20 === 3 ? 'cut' : { status: 500 } }
  if (start % 10 === 6) return { acts: 2 }
  if (start % 20 === 9) return { answer: { status: 503 } }
  if (start % 20 === 19) return { answer: { status: 429, code: 'SubscriptionRequestsThrottled' } }
  return undefined
}

/** Resolves when the store hints at a change, or after a second. */
function changeOf(store: Store): Promise<void> {
  return new Promise(resolve => {
    const end = () => {
      unwatch()
      clearTimeout(timer)
      resolve()
    }
    const timer = setTimeout(end, 1000)
    const unwatch = store.watch(end)
  })
}

/** The job as one file: hundreds of processes start, and most of the time of each is the loading of its modules. */
async function bundled(folder: string): Promise<URL> {
  const file = join(folder, 'job.mjs')
  const build = await rolldown({
    input: new URL('../../fixtures/azure/tiny-job.ts', import.meta.url).pathname,
    platform: 'node',
    resolve: { conditionNames: ['waybill-source', 'import', 'node', 'default'] },
    // That code is split for nothing, and that a dependency looks into `this`, is of no interest here.
    onLog: () => {},
  })
  await build.write({ file, format: 'esm', codeSplitting: false })
  await build.close()
  return pathToFileURL(file)
}

test('all orders complete, each by one attempt', async ({ lab }) => {
  const folder = mkdtempSync(join(tmpdir(), 'waybill-orders-'))
  lab.onEnd(() => rmSync(folder, { recursive: true }))
  const path = lab.file()
  const azure = await azureOf(lab, await bundled(dirname(path)), {
    env: { TEST_STORE: path, TEST_FOLDER: folder },
    parallel: 3,
    pageSize: 200,
    throttle: { reads: { perSecond: 25, burst: 250 }, writes: { perSecond: 15, burst: 20 } },
  })
  let starts = 0
  azure.fail(({ kind }) => (kind === 'start' ? faultOf(starts++) : undefined))
  const { launcher } = launcherOf(lab, azure, { variable: 'ORDER_ID', rate: { perSecond: 40, burst: 100 } })
  const store = sqliteStore({ path, synchronous: 'NORMAL' })
  const waybill = await lab.waybill([tiny], { store, dispatcher: { launcher, reconcileInterval: '1s' } })

  await Promise.all(Array.from({ length: ORDERS }, () => submit(waybill, tiny)))
  while ((await countUnfinished(store, tiny.name, '')) > 0) await changeOf(store)

  const all = await store.list({ type: tiny.name, owner: '', limit: 1000 })
  const shapes = new Set(
    all.map(({ status, attempt, lost, launches, history }) =>
      JSON.stringify({ status, attempt, lost, launches, attempts: history.length }),
    ),
  )
  expect([...shapes]).toEqual([JSON.stringify({ status: 'completed', attempt: 1, lost: 0, launches: 0, attempts: 1 })])
  expect(all).toHaveLength(ORDERS)
  expect(existsSync(join(folder, 'overlap'))).toBe(false)
  expect(readdirSync(folder)).toEqual([])

  await Promise.all(azure.executions.map(({ end }) => end))
  expect(azure.executions.filter(({ code }) => code !== 0)).toEqual([])
  const refused = azure.requests.filter(({ kind, status }) => kind === 'start' && status === 429).length
  const { length } = azure.executions
  console.log(`${length} executions of ${countOf(azure, 'start')} starts, ${refused} of them refused with 429`)
  expect(refused).toBeGreaterThan(0)
  // Some starts were made twice.
  expect(length).toBeGreaterThan(ORDERS)
})
