import assert from 'node:assert/strict'
import type { Operation } from '../../model/operation.ts'
import type { Hint } from '../../stores/store.ts'
import { hintThatFinds, LEASE_MS, OUTCOMES, type StoreTest, type StoreTests, TYPE } from './context.ts'

export const watchTests: StoreTests = {
  name: 'watch',
  tests: {
    'hints that a new operation is ready': async test => {
      const { id } = test.submission()
      const hint = ready(test, id, 'refunds')
      await test.submit({ id, type: 'refunds' })
      await hint
    },

    'hints how an operation has changed: begun, progressed, asked to cancel, ended': async test => {
      let operation = await test.submit()
      const { id } = operation
      const acts = [
        ['changed', () => test.claimOne(id)],
        ['changed', () => test.change(id, { kind: 'progress', attempt: 1, progress: { fraction: 0.5 } })],
        ['cancel', () => test.change(id, { kind: 'cancel' })],
        ['ended', () => test.change(id, { kind: 'finish', attempt: 1, outcome: OUTCOMES.canceled })],
      ] as const
      for (const [kind, act] of acts) {
        const hint = changed(test, operation, kind)
        operation = await act()
        await hint
      }
    },

    'hints that an operation was canceled before it began': async test => {
      const operation = await test.submit()
      const hint = changed(test, operation, 'ended')
      await test.change(operation.id, { kind: 'cancel' })
      await hint
    },

    'hints that an operation with an execution was canceled, for its engine and for its waiters': async test => {
      const { id } = await test.submit()
      await test.store.reserveForLaunch({ types: [TYPE], limit: 1, holdMs: 1000 })
      const launched = await test.change(id, { kind: 'launched', launch: 1, execution: 'job-1', engine: 'jobs' })
      const hints = [changed(test, launched, 'cancel'), changed(test, launched, 'ended')]
      await test.change(id, { kind: 'cancel' })
      await Promise.all(hints)
    },

    'hints that an operation has a new log line': async test => {
      const { id } = await test.run()
      const hint = hintThatFinds(
        test.store,
        about(id, 'changed'),
        async () => (await test.store.logs(id, 0)).length > 0,
      )
      await test.store.appendNote({ id, attempt: 1 }, { kind: 'log', level: 'info', message: 'one' })
      await hint
    },

    'hints that an operation is ready again: handed back, abandoned, retried without a delay': async test => {
      const back = [
        { kind: 'finish', attempt: 1, outcome: OUTCOMES.released },
        { kind: 'abandon', attempt: 1, reason: 'It is gone.' },
        { kind: 'finish', attempt: 1, outcome: { ...OUTCOMES.retry, delayMs: 0 } },
      ] as const
      for (const change of back) {
        const { id } = await test.run()
        const hint = ready(test, id)
        await test.change(id, change)
        await hint
      }
    },

    'hints that a sweep has made something ready or ended it': async test => {
      const [again, last] = [await test.run(), await test.run({ maxLost: 0 })]
      test.clock.advance(LEASE_MS)
      const hints = [ready(test, again.id), changed(test, last, 'ended')]
      await test.store.sweep(10)
      await Promise.all(hints)
    },

    'fails no write, and keeps no hint from others, when a listener throws': async test => {
      const unwatch = test.store.watch(() => {
        throw new Error('A listener of the test throws.')
      })
      await changeOne(test)
      unwatch()
    },

    'tells every listener, until it has enough': async test => {
      const heard = new Set<string>()
      const unwatch = test.store.watch(() => heard.add('first'))
      test.store.watch(() => heard.add('second'))
      await changeOne(test)
      assert.deepEqual([...heard].sort(), ['first', 'second'])
      unwatch()
      unwatch()
      heard.clear()
      await changeOne(test)
      assert.deepEqual([...heard], ['second'])
    },
  },
}

/** Changes an operation, and waits until every listener was told. */
async function changeOne(test: StoreTest): Promise<void> {
  const operation = await test.run()
  // Listeners are told in the order in which they came, so this one comes last.
  const hint = changed(test, operation, 'ended')
  await test.finish(operation, OUTCOMES.completed)
  await hint
}

type ChangeKind = 'changed' | 'cancel' | 'ended'

function about(id: string, kind: ChangeKind): (hint: Hint) => boolean {
  return hint => hint.kind === 'unknown' || (hint.kind === kind && hint.id === id)
}

/** A hint of the kind, or of any change, at which the operation is seen to be later than this. */
function changed(test: StoreTest, { id, version }: Operation, kind: ChangeKind): Promise<void> {
  return hintThatFinds(test.store, about(id, kind), async () => (await test.read(id)).version > version)
}

/** A hint at which the operation can be claimed. */
function ready({ store }: StoreTest, id: string, type: string = TYPE): Promise<void> {
  const fits = (hint: Hint) => hint.kind === 'unknown' || (hint.kind === 'ready' && hint.type === type)
  return hintThatFinds(store, fits, async () => (await store.queueStats(type)).ready.includes(id))
}
