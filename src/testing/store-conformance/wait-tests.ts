/** What a suspended handler waits for, and the events that it waits for. */
import assert from 'node:assert/strict'
import type { Operation } from '../../model/operation.ts'
import { eventText, NEVER_DUE, type WaitRequest, waitStep } from '../../model/waits.ts'
import { hintThatFinds, idsOf, OUTCOMES, type StoreTest, type StoreTests, TYPE } from './context.ts'

const MINUTE = 60_000
const NAP: WaitRequest = { kind: 'time', name: 'nap', withinMs: MINUTE }
const PAID: WaitRequest = { kind: 'event', name: 'paid', withinMs: null }
const APPROVAL: WaitRequest = {
  kind: 'input',
  name: 'approval',
  message: 'Is "it" good?\n\u0000',
  schema: { type: 'boolean' },
  withinMs: 2 * MINUTE,
}

const suspend = async (test: StoreTest, running: Operation, ...waits: WaitRequest[]) =>
  await test.finish(running, { kind: 'suspended', waits })

const pay = async (test: StoreTest, id: string, value = '1') =>
  await test.store.change(id, { kind: 'event', name: 'paid', value })

export const waitTests: StoreTests = {
  name: 'waits and events',
  tests: {
    'a suspended operation is pending, holds nothing, and keeps what it waits for': async test => {
      const running = await test.run()
      const after = await suspend(test, running, NAP, PAID, APPROVAL)
      const { withinMs: _, ...approval } = APPROVAL
      assert.deepEqual(after.waits, {
        open: [
          { kind: 'time', name: 'nap', until: test.now + MINUTE },
          { kind: 'event', name: 'paid', until: null },
          { ...approval, until: test.now + 2 * MINUTE },
        ],
        received: [],
      })
      assert.equal(after.status, 'pending')
      assert.equal(after.runAt, test.now + MINUTE)
      assert.equal(after.holder, null)
      assert.equal(after.history.at(-1)?.outcome, 'suspended')
      assert.deepEqual(await test.read(running.id), after)
      assert.equal((await test.store.queueStats(TYPE)).depth, 0)
      assert.deepEqual(await test.claim(1), [])
    },

    'it takes no event once its deadline has passed': async test => {
      const { id } = await suspend(test, await test.run({ endWithin: 1000 }), PAID)
      test.clock.advance(1000)
      assert.equal(await pay(test, id), undefined)
    },

    'it is claimed when the first of its waits is over, and no attempt counts': async test => {
      const { id } = await test.submit({ maxAttempts: 1 })
      for (let time = 1; time <= 3; time++) {
        await suspend(test, await test.claimOne(id), NAP)
        test.clock.advance(MINUTE)
        const [claim] = await test.claim(1)
        assert.equal(claim?.operation.attempt, time * 2)
        assert.ok(claim)
        await test.finish(claim.operation, OUTCOMES.released)
      }
      assert.equal((await test.finish(await test.claimOne(id), OUTCOMES.completed)).status, 'completed')
    },

    'a wait that is open keeps its end when the handler waits for it again': async test => {
      const running = await test.run()
      const { runAt } = await suspend(test, running, NAP, PAID)
      test.clock.advance(MINUTE / 2)
      await pay(test, running.id)
      const again = await suspend(test, await test.claimOne(running.id), NAP)
      assert.equal(again.runAt, runAt)
    },

    'a wait without an end is due at no time': async test => {
      const running = await test.run()
      assert.equal((await suspend(test, running, PAID)).runAt, NEVER_DUE)
      test.clock.advance(3650 * 86_400_000)
      assert.deepEqual(await test.claim(1), [])
      assert.equal((await test.store.sweep(100)).expired.length, 0)
      assert.equal((await test.read(running.id)).status, 'pending')
    },

    'an event makes what waits for it ready at once, and is kept as a step': async test => {
      const running = await test.run()
      await suspend(test, running, PAID)
      const hinted = hintThatFinds(
        test.store,
        ({ kind }) => kind === 'ready' || kind === 'unknown',
        async () => (await test.read(running.id)).runAt === null,
      )
      const after = await pay(test, running.id, '{"amount":3,"note":"\\u0000"}')
      assert.deepEqual(after?.waits?.received, ['paid'])
      await hinted
      assert.deepEqual(idsOf(await test.claim(1)), [running.id])
      const steps = await test.store.steps(running.id)
      assert.deepEqual(Object.fromEntries(steps), {
        [waitStep('paid')]: eventText('{"amount":3,"note":"\\u0000"}', test.now),
      })
    },

    'an event that comes before the handler waits for it is kept, and then the wait is over at once': async test => {
      for (const before of ['pending', 'running'] as const) {
        const { id } = await test.submit()
        if (before === 'pending') assert.equal((await pay(test, id))?.status, 'pending')
        const running = await test.claimOne(id)
        if (before === 'running') assert.equal((await pay(test, id))?.status, 'running')
        assert.equal((await suspend(test, running, PAID)).runAt, null)
      }
    },

    'an event that it does not wait for leaves it asleep': async test => {
      const running = await test.run()
      const { runAt } = await suspend(test, running, NAP)
      assert.equal((await pay(test, running.id))?.runAt, runAt)
      assert.deepEqual(await test.claim(1), [])
    },

    'of racing events of one name the first one stands, and the others are refused': async test => {
      const running = await test.run()
      await suspend(test, running, PAID)
      const values = Array.from({ length: 20 }, (_, index) => String(index))
      const answers = await Promise.all(values.map(value => pay(test, running.id, value)))
      const winners = values.filter((_, index) => answers[index] !== undefined)
      assert.equal(winners.length, 1)
      const steps = await test.store.steps(running.id)
      assert.equal(steps.get(waitStep('paid')), eventText(winners[0] ?? '', test.now))
    },

    'an event is refused when the time of its wait is over, and when the operation has ended': async test => {
      const running = await test.run()
      await suspend(test, running, APPROVAL)
      test.clock.advance(2 * MINUTE)
      const answer = { kind: 'event', name: 'approval', value: 'true' } as const
      assert.equal(await test.store.change(running.id, answer), undefined)
      const ended = await test.end(OUTCOMES.completed)
      assert.equal(await pay(test, ended.id), undefined)
      assert.deepEqual([...(await test.store.steps(running.id)).keys()], [])
    },

    'a cancel ends what waits at once, and an attempt that was asked to cancel is not suspended': async test => {
      const asleep = await test.run()
      await suspend(test, asleep, PAID)
      assert.equal((await test.change(asleep.id, { kind: 'cancel' })).status, 'canceled')
      const running = await test.run()
      await test.change(running.id, { kind: 'cancel' })
      assert.equal((await suspend(test, running, PAID)).status, 'canceled')
    },

    'what waits is launched again when it is ready, and an event in between launches nothing twice': async test => {
      const running = await test.run()
      await suspend(test, running, PAID)
      const request = { types: [TYPE], limit: 10, holdMs: MINUTE }
      assert.deepEqual(await test.store.reserveForLaunch(request), [])
      await pay(test, running.id)
      assert.deepEqual(idsOf(await test.store.reserveForLaunch(request)), [running.id])
      await test.change(running.id, { kind: 'event', name: 'other', value: '1' })
      assert.deepEqual(await test.store.reserveForLaunch(request), [])
    },

    'waits and what has come are in a dump, and are restored': async test => {
      const running = await test.run()
      await suspend(test, running, NAP, PAID)
      await pay(test, running.id)
      const dumps = await test.store.dump(undefined, 10)
      await test.store.restore(dumps)
      assert.deepEqual(await test.store.dump(undefined, 10), dumps)
      assert.deepEqual((await test.read(running.id)).waits?.received, ['paid'])
    },
  },
}
