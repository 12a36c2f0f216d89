import assert from 'node:assert/strict'
import { LOG_LIMIT } from '../../stores/store.ts'
import { leaseOf, OUTCOMES, type StoreTests } from './context.ts'

export const noteTests: StoreTests = {
  name: 'steps and logs',
  tests: {
    'a step is recorded once: what came first stands': async test => {
      const lease = leaseOf(await test.run())
      assert.equal(await test.store.appendNote(lease, { kind: 'step', name: 'charge', value: '{"id":1}' }), true)
      assert.equal(await test.store.appendNote(lease, { kind: 'step', name: 'charge', value: '{"id":2}' }), true)
      assert.deepEqual([...(await test.store.steps(lease.id))], [['charge', '{"id":1}']])
    },

    'later attempts find the steps of those before': async test => {
      const first = await test.run()
      await test.store.appendNote(leaseOf(first), { kind: 'step', name: 'charge', value: '1' })
      await test.finish(first, OUTCOMES.released)
      const second = await test.claimOne(first.id)
      await test.store.appendNote(leaseOf(second), { kind: 'step', name: 'ship', value: '2' })
      assert.deepEqual(Object.fromEntries(await test.store.steps(first.id)), { charge: '1', ship: '2' })
    },

    'steps keep odd names and large values, and operations do not share them': async test => {
      const [lease, other] = [leaseOf(await test.run()), leaseOf(await test.run())]
      const names = ['__proto__', 'constructor', 'CHARGE', 'charge', ' ', '😀'.repeat(100)]
      const value = JSON.stringify('ü'.repeat(100_000))
      for (const name of names) await test.store.appendNote(lease, { kind: 'step', name, value })
      const steps = await test.store.steps(lease.id)
      assert.deepEqual([...steps.keys()].sort(), names.sort())
      assert.ok([...steps.values()].every(it => it === value))
      assert.equal((await test.store.steps(other.id)).size, 0)
    },

    'log lines are numbered without gaps, with their time, attempt and level': async test => {
      const first = await test.run()
      await test.store.appendNote(leaseOf(first), { kind: 'log', level: 'info', message: 'one' })
      const start = test.now
      test.clock.advance(20)
      await test.finish(first, OUTCOMES.released)
      const second = await test.claimOne(first.id)
      await test.store.appendNote(leaseOf(second), { kind: 'log', level: 'error', message: 'zwei “ü”\n' })
      assert.deepEqual(await test.store.logs(first.id, 0), [
        { sequence: 1, at: start, attempt: 1, level: 'info', message: 'one' },
        { sequence: 2, at: start + 20, attempt: 2, level: 'error', message: 'zwei “ü”\n' },
      ])
    },

    'log lines written at once keep the order of the calls, and can be read from any one on': async test => {
      const lease = leaseOf(await test.run())
      const messages = Array.from({ length: 100 }, (_, index) => `line ${index}`)
      await Promise.all(messages.map(message => test.store.appendNote(lease, { kind: 'log', level: 'info', message })))
      const lines = await test.store.logs(lease.id, 0)
      assert.deepEqual(
        lines.map(({ message }) => message),
        messages,
      )
      assert.deepEqual(await test.store.logs(lease.id, 97), lines.slice(97))
      assert.deepEqual(await test.store.logs(lease.id, 100), [])
    },

    'a log keeps its first lines, and further ones are dropped without an error': async test => {
      const lease = leaseOf(await test.run())
      const writes = Array.from({ length: LOG_LIMIT + 5 }, (_, index) =>
        test.store.appendNote(lease, { kind: 'log', level: 'info', message: String(index) }),
      )
      assert.ok((await Promise.all(writes)).every(Boolean))
      const lines = await test.store.logs(lease.id, 0)
      assert.equal(lines.length, LOG_LIMIT)
      assert.equal(lines.at(-1)?.message, String(LOG_LIMIT - 1))
    },

    'steps and logs outlive the end, and do not change the record': async test => {
      const running = await test.run()
      await test.store.appendNote(leaseOf(running), { kind: 'step', name: 'charge', value: '1' })
      await test.store.appendNote(leaseOf(running), { kind: 'log', level: 'info', message: 'one' })
      assert.deepEqual(await test.read(running.id), running)
      await test.finish(running, OUTCOMES.completed)
      assert.equal((await test.store.steps(running.id)).size, 1)
      assert.equal((await test.store.logs(running.id, 0)).length, 1)
    },
  },
}
