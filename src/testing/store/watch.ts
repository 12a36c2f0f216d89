import assert from 'node:assert/strict'
import type { Hint, Store } from '../../store.ts'
import { LEASE_MS, leaseOf, nextHint, OUTCOMES, type StoreTests, TYPE } from './context.ts'

export const watchTests: StoreTests = {
  name: 'watch',
  tests: {
    'hints that a new operation is ready': async test => {
      const hint = ready(test.store, 'refunds')
      await test.submit({ type: 'refunds' })
      await hint
    },

    'hints that an operation has changed: begun, progressed, asked to cancel, ended': async test => {
      const { id } = await test.submit()
      const acts = [
        () => test.claimOne(id),
        () => test.change(id, { kind: 'progress', attempt: 1, progress: { fraction: 0.5 } }),
        () => test.store.note({ id, attempt: 1 }, { kind: 'log', level: 'info', message: 'one' }),
        () => test.change(id, { kind: 'cancel' }),
        () => test.change(id, { kind: 'finish', attempt: 1, outcome: OUTCOMES.canceled }),
      ]
      for (const act of acts) {
        const hint = changed(test.store, id)
        await act()
        await hint
      }
    },

    'a change can be read when its hint comes': async test => {
      const running = await test.run()
      const seen = changed(test.store, running.id).then(() => test.read(running.id))
      const done = await test.finish(running, OUTCOMES.completed)
      assert.deepEqual(await seen, done)
    },

    'hints that an operation is ready again: handed back, abandoned, retried without a delay': async test => {
      const back = [
        { kind: 'finish', attempt: 1, outcome: OUTCOMES.released },
        { kind: 'abandon', attempt: 1, reason: 'It is gone.' },
        { kind: 'finish', attempt: 1, outcome: { ...OUTCOMES.retry, delayMs: 0 } },
      ] as const
      for (const change of back) {
        const running = await test.run()
        const hint = ready(test.store, TYPE)
        await test.change(running.id, change)
        await hint
      }
    },

    'hints that a sweep has made something ready or ended it': async test => {
      const running = await test.run()
      test.clock.advance(LEASE_MS)
      const [again, ended] = [ready(test.store, TYPE), changed(test.store, running.id)]
      await test.store.sweep(10)
      await Promise.all([again, ended])
    },

    'tells every listener, until it has enough': async test => {
      const heard: string[] = []
      const unwatch = test.store.watch(() => void heard.push('first'))
      test.store.watch(() => void heard.push('second'))
      await test.submit()
      assert.ok(heard.includes('first') && heard.includes('second'))
      unwatch()
      unwatch()
      heard.length = 0
      const hint = changed(test.store, (await test.run()).id)
      await test.change((await test.store.list({ type: TYPE, owner: '', limit: 1 }))[0]?.id ?? '', { kind: 'cancel' })
      await hint
      assert.ok(heard.includes('second') && !heard.includes('first'))
    },

    'what changes nothing that a client sees need not be hinted at, and does no harm': async test => {
      const running = await test.run()
      await test.store.renew([leaseOf(running)], LEASE_MS)
      assert.deepEqual(await test.read(running.id), running)
    },
  },
}

function ready(store: Store, type: string): Promise<Hint> {
  return nextHint(store, hint => hint.kind === 'unknown' || (hint.kind === 'ready' && hint.type === type))
}

function changed(store: Store, id: string): Promise<Hint> {
  return nextHint(store, hint => hint.kind === 'unknown' || (hint.kind === 'changed' && hint.id === id))
}
