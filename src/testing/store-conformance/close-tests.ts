import assert from 'node:assert/strict'
import { acceptedOperation } from '../../stores/store.ts'
import { CLAIM_BY, hintThatFinds, idsOf, leaseOf, OUTCOMES, type StoreTests, TYPE } from './context.ts'

export const closeTests: StoreTests = {
  name: 'close',
  tests: {
    'finishes the writes under way': async test => {
      const writes = [test.submit(), test.submit({ idempotencyKey: 'k' })]
      await test.store.close()
      assert.equal((await Promise.all(writes)).length, 2)
    },

    'refuses everything afterwards': async test => {
      const running = await test.run()
      await test.store.close()
      const calls = [
        () => test.store.accept(test.submission()),
        () => test.store.read(running.id),
        () => test.store.claim({ ...CLAIM_BY, from: { id: running.id } }),
        () => test.store.change(running.id, { kind: 'cancel' }),
        () => test.store.renew([leaseOf(running)], 1000),
      ]
      for (const call of calls) await assert.rejects(call)
    },

    'can be repeated': async test => {
      await test.store.close()
      await test.store.close()
    },
  },
}

export const reopenTests: StoreTests = {
  name: 'several stores on the same data',
  tests: {
    'what was confirmed is there after a restart': async test => {
      const pending = await test.submit({ idempotencyKey: 'k', input: '[1]' })
      const running = await test.run()
      await test.store.appendNote(leaseOf(running), { kind: 'step', name: 'charge', value: '1' })
      const done = await test.end(OUTCOMES.completed)
      await test.restart()
      for (const operation of [pending, running, done]) assert.deepEqual(await test.read(operation.id), operation)
      assert.equal(await test.store.readPayload(pending.id, 'input'), '[1]')
      assert.equal(await test.store.readPayload(done.id, 'output'), OUTCOMES.completed.output)
      assert.deepEqual([...(await test.store.steps(running.id))], [['charge', '1']])
      assert.equal((await test.store.accept(test.submission({ idempotencyKey: 'k' }))).kind, 'known')
      assert.equal((await test.finish(running, OUTCOMES.completed)).status, 'completed')
    },

    'each sees at once what the other has confirmed': async test => {
      const other = await test.another()
      const operation = await test.submit()
      assert.deepEqual(await other.read(operation.id), operation)
      const [claim] = await other.claim({ ...CLAIM_BY, from: { types: [{ type: TYPE, limit: 1 }], limit: 1 } })
      assert.deepEqual(await test.read(operation.id), claim?.operation)
      const done = await test.finish(await test.read(operation.id), OUTCOMES.completed)
      assert.deepEqual(await other.read(operation.id), done)
    },

    'makes one operation of submits with one key that race on both': async test => {
      const stores = [test.store, await test.another()]
      const answers = await Promise.all(
        stores.flatMap(store =>
          Array.from({ length: 50 }, () => store.accept(test.submission({ idempotencyKey: 'k' }))),
        ),
      )
      assert.equal(new Set(answers.map(answer => acceptedOperation(answer).id)).size, 1)
      assert.equal(answers.filter(({ kind }) => kind === 'accepted').length, 1)
    },

    'answers equal submits with one operation though a limit is reached, when they race on both': async test => {
      const stores = [test.store, await test.another()]
      const equal = () => test.submission({ limits: { inFlight: 1 }, idempotencyKey: 'k' })
      const answers = await Promise.all(
        stores.flatMap(store => Array.from({ length: 20 }, () => store.accept(equal()))),
      )
      assert.equal(new Set(answers.map(answer => acceptedOperation(answer).id)).size, 1)
      assert.equal(answers.filter(({ kind }) => kind === 'accepted').length, 1)
    },

    'never gives one operation to claimers that race on both': async test => {
      const stores = [test.store, await test.another()]
      const ids = idsOf(await test.submitMany(60))
      const from = { types: [{ type: TYPE, limit: 4 }], limit: 4 }
      const claims = await Promise.all(
        Array.from({ length: 30 }, async (_, index) => (await stores[index % 2]?.claim({ ...CLAIM_BY, from })) ?? []),
      )
      assert.deepEqual(idsOf(claims.flat()).sort(), ids)
    },

    'of outcomes that race on both exactly one stands': async test => {
      const other = await test.another()
      for (let round = 0; round < 10; round++) {
        const { id } = await test.run()
        const answers = await Promise.all([
          test.store.change(id, { kind: 'finish', attempt: 1, outcome: OUTCOMES.completed }),
          other.change(id, { kind: 'finish', attempt: 1, outcome: OUTCOMES.failed }),
        ])
        const [winner, ...others] = answers.filter(it => it !== undefined)
        assert.equal(others.length, 0)
        assert.deepEqual(await test.read(id), winner)
      }
    },

    'a write on one of them is hinted at by the other': async test => {
      const other = await test.another()
      const { id } = test.submission()
      const hint = hintThatFinds(
        other,
        () => true,
        async () => (await other.read(id)) !== undefined,
      )
      await test.submit({ id })
      await hint
    },
  },
}
