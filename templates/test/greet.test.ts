import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runHandler, testWaybill } from 'waybill/testing'
import greet from '../src/greet.ts'
import { greetings } from '../src/greetings.ts'

test('a greeting names the person', async () => {
  const run = await runHandler(greet, { name: 'Ada' })
  assert.equal(run.outcome, 'completed')
  assert.deepEqual(run.output, { text: 'Hello, Ada!' })
  assert.equal(run.progress.at(-1)?.fraction, 1)
})

test('a greeting without a name is rejected', async () => {
  const run = await runHandler(greet, { name: '' })
  assert.equal(run.outcome, 'rejected')
  assert.equal(run.problem?.errors?.[0]?.pointer, '/name')
})

test('a greeting survives a store that is away', async t => {
  const lab = await testWaybill({ operations: [greetings], handlers: greet })
  t.after(() => lab.close())
  lab.failStore('change')
  const greeting = await lab.submit(greetings, { name: 'Ada' })
  await lab.drain()
  assert.deepEqual(await greeting.result(), { text: 'Hello, Ada!' })
})
