import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect } from 'vitest'
import { defineOperation } from 'waybill'
import { sqliteStore } from 'waybill/stores/sqlite'
import { serve } from '../support/http.ts'
import { faultyStore, test, until } from '../support/waybill.ts'

const orders = defineOperation({ name: 'orders' })
const FIXTURE = new URL('../fixtures/full-disk.ts', import.meta.url).pathname

test('a service whose disk is full is alive, but not ready', async ({ lab }) => {
  // A limit on the size of files, in blocks of 512 bytes: the writes of that process alone find no room.
  const command = 'trap "" XFSZ; ulimit -f 4000; exec "$0" "$@"'
  const { stdout } = await promisify(execFile)('sh', ['-c', command, process.execPath, FIXTURE, lab.file()])
  expect(JSON.parse(stdout)).toEqual({ accepted: true, statuses: [503, 404, 503, 200] })
})

test('a service is ready again when its store accepts writes again', async ({ lab }) => {
  const { store, cut } = faultyStore(sqliteStore({ path: ':memory:' }))
  const { app } = await serve(lab, [orders], { store })
  const statusOf = async () => (await app.inject('/readyz')).statusCode
  cut.add('check')
  expect(await statusOf()).toBe(503)
  cut.clear()
  await until(async () => (await statusOf()) === 200)
})

test('many concurrent checks cost one write', async ({ lab }) => {
  const { store, calls } = faultyStore(sqliteStore({ path: ':memory:' }))
  const { app } = await serve(lab, [orders], { store })
  const answers = await Promise.all(Array.from({ length: 50 }, () => app.inject('/readyz')))
  expect(answers.every(({ statusCode }) => statusCode === 200)).toBe(true)
  expect(calls.get('check')).toBe(1)
})
