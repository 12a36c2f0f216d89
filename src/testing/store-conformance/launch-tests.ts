import assert from 'node:assert/strict'
import { listAllActive } from '../../stores/list-all-active.ts'
import { HOLDER, idsOf, LEASE_MS, OUTCOMES, type StoreTest, type StoreTests, TYPE } from './context.ts'

const HOLD_MS = 60_000

export const launchTests: StoreTests = {
  name: 'launch and active operations',
  tests: {
    'takes ready operations in the order of a claim, and holds them back': async test => {
      const low = await test.submit({ priority: -1 })
      const high = await test.submit()
      const launched = await launch(test)
      assert.deepEqual(idsOf(launched), idsOf([high, low]))
      assert.deepEqual(launched[0], { ...high, runAt: test.now + HOLD_MS, launches: 1 })
      assert.deepEqual(await test.read(high.id), launched[0])
      assert.deepEqual(await launch(test), [])
      assert.deepEqual(await test.claim(10), [])
    },

    'takes no more than its limit, of all types together': async test => {
      const [a, b] = [await test.submitMany(2, { type: 'a' }), await test.submitMany(2, { type: 'b' })]
      await test.submit({ type: 'c' })
      const types = ['a', 'b']
      const request = { types, limit: 3, holdMs: HOLD_MS }
      assert.deepEqual(idsOf(await test.store.reserveForLaunch(request)), idsOf([...a, ...b.slice(0, 1)]))
      assert.deepEqual(idsOf(await test.store.reserveForLaunch(request)), idsOf(b.slice(1)))
    },

    'takes nothing that is delayed, running, finished or too late': async test => {
      await test.submit({ startWithin: 0 })
      await test.submit({ endWithin: 0 })
      await test.submit({ delay: 1000 })
      await test.run()
      await test.end(OUTCOMES.completed)
      assert.deepEqual(await launch(test), [])
    },

    'never gives one operation to two racing dispatchers': async test => {
      const ids = idsOf(await test.submitMany(30))
      const launched = await Promise.all(Array.from({ length: 10 }, () => launch(test, 4)))
      assert.deepEqual(idsOf(launched.flat()).sort(), ids)
    },

    'the execution claims its operation by id while it is held back': async test => {
      const { id } = await test.submit()
      await launch(test)
      const running = await test.claimOne(id, { execution: 'job-1', engine: 'jobs' })
      assert.equal(running.execution, 'job-1')
      assert.equal(running.engine, 'jobs')
      assert.equal(running.launches, 0)
      assert.equal(running.runAt, null)
    },

    'of an execution that claims, the engine that its launcher has recorded stands': async test => {
      const claims = [
        [{}, 'job-1', 'jobs'],
        [{ execution: 'job-1' }, 'job-1', 'jobs'],
        [{ execution: 'job-1', engine: 'another' }, 'job-1', 'jobs'],
        [{ execution: 'job-2', engine: 'another' }, 'job-2', 'another'],
        [{ execution: 'job-2' }, 'job-2', null],
        [{ execution: null, engine: 'another' }, null, null],
      ] as const
      for (const [by, execution, engine] of claims) {
        const { id } = await test.submit()
        await launch(test)
        await test.change(id, { kind: 'launched', launch: 1, execution: 'job-1', engine: 'jobs' })
        const [claim] = await test.store.claim({ holder: HOLDER, leaseMs: LEASE_MS, ...by, from: { id } })
        assert.ok(claim)
        assert.deepEqual([claim.operation.execution, claim.operation.engine], [execution, engine], JSON.stringify(by))
        assert.deepEqual(await test.read(id), claim.operation)
        await test.finish(claim.operation, OUTCOMES.completed)
      }
    },

    'an execution that never claimed is started again when its time is up': async test => {
      const { id } = await test.submit()
      await launch(test)
      await test.change(id, { kind: 'launched', launch: 1, execution: 'job-1', engine: 'jobs' })
      test.clock.advance(HOLD_MS - 1)
      assert.deepEqual(await launch(test), [])
      test.clock.advance(1)
      const [again] = await launch(test)
      assert.equal(again?.launches, 2)
      assert.equal(again?.execution, null)
      assert.equal(again?.engine, null)
      assert.equal(again?.runAt, test.now + HOLD_MS)
    },

    'a start that was refused for load is tried again after its delay, as if it had not been tried': async test => {
      const { id } = await test.submit()
      await launch(test)
      const refused = await test.change(id, { kind: 'launch-refused', launch: 1, delayMs: 2000 })
      assert.equal(refused.launches, 0)
      test.clock.advance(1999)
      assert.deepEqual(await launch(test), [])
      test.clock.advance(1)
      assert.deepEqual(idsOf(await launch(test)), [id])
    },

    'an answer to an earlier start is refused': async test => {
      const { id } = await test.submit()
      await launch(test)
      test.clock.advance(HOLD_MS)
      const [second] = await launch(test)
      const late = { kind: 'launched', launch: 1, execution: 'job-1', engine: 'jobs' } as const
      assert.equal(await test.store.change(id, late), undefined)
      assert.deepEqual(await test.read(id), second)
      const running = await test.claimOne(id)
      assert.equal(await test.store.change(id, { ...late, launch: 2 }), undefined)
      assert.deepEqual(await test.read(id), running)
    },

    'an execution that is gone is replaced at once the first time, and not forever': async test => {
      const { id } = await test.submit({ maxLost: 2 })
      const codes: unknown[] = []
      for (let round = 1; round <= 3; round++) {
        await launch(test)
        await test.change(id, { kind: 'launched', launch: round, execution: `job-${round}`, engine: 'jobs' })
        const after = await test.change(id, { kind: 'abandon', attempt: 0, reason: 'It is gone.' })
        codes.push(after.error?.code ?? after.status)
        if (round === 1) assert.deepEqual((await test.store.queueStats(TYPE)).ready, [id])
        test.clock.advance(5000)
      }
      assert.deepEqual(codes, ['pending', 'pending', 'launch-lost'])
      assert.equal((await test.read(id)).status, 'failed')
    },

    'listActive shows what a process or an execution has, and nothing else': async test => {
      await test.submit()
      await test.end(OUTCOMES.completed)
      assert.deepEqual(await listAllActive(test.store), [])
      const { id } = await test.submit({ priority: 9 })
      await test.store.reserveForLaunch({ types: [TYPE], limit: 1, holdMs: HOLD_MS })
      await test.change(id, { kind: 'launched', launch: 1, execution: 'job-1', engine: 'jobs' })
      const running = await test.run()
      await test.change(running.id, { kind: 'cancel' })
      const active = (await listAllActive(test.store)).toSorted((a, b) => a.id.localeCompare(b.id))
      const base = { type: TYPE, cancelRequested: false }
      assert.deepEqual(active, [
        { ...base, id, status: 'pending', attempt: 0, holder: null, execution: 'job-1', engine: 'jobs' },
        {
          ...base,
          id: running.id,
          status: 'running',
          attempt: 1,
          holder: running.holder,
          execution: null,
          engine: null,
          cancelRequested: true,
        },
      ])
    },

    'active operations are listed page by page in the order of their ids, whether they run or wait for an execution':
      async test => {
        const waiting = await test.submitMany(3)
        for (const { id } of await launch(test)) {
          await test.change(id, { kind: 'launched', launch: 1, execution: `job-${id}`, engine: 'jobs' })
        }
        const ids = idsOf([...waiting, await test.run(), await test.run(), await test.run()]).sort()
        const page = async (limit: number, after?: string) => idsOf(await test.store.listActive({ limit, after }))
        assert.deepEqual(await page(4), ids.slice(0, 4))
        assert.deepEqual(await page(4, ids[3]), ids.slice(4))
        assert.deepEqual(await page(4, ids[5]), [])
        assert.deepEqual(idsOf(await listAllActive(test.store)), ids)
      },

    'active operations of one holder, and all holders of what runs, each once': async test => {
      const held = async (holder: string) => {
        const { id } = await test.submit()
        return await test.claimOne(id, { holder })
      }
      const [first, second, other] = [await held('one'), await held('one'), await held('another')]
      const { id } = await test.submit()
      await launch(test)
      await test.change(id, { kind: 'launched', launch: 1, execution: 'job-1', engine: 'jobs' })
      assert.deepEqual((await test.store.holders()).toSorted(), ['another', 'one'])
      const ofOne = await test.store.listActive({ holder: 'one', limit: 10 })
      assert.deepEqual(idsOf(ofOne), idsOf([first, second]).sort())
      assert.deepEqual(idsOf(await test.store.listActive({ holder: 'one', limit: 1 })), idsOf(ofOne).slice(0, 1))
      await test.finish(other, OUTCOMES.completed)
      assert.deepEqual(await test.store.holders(), ['one'])
    },

    'listActive no longer shows what has ended or was handed back': async test => {
      const { id } = await test.submit()
      await launch(test)
      await test.change(id, { kind: 'launched', launch: 1, execution: 'job-1', engine: 'jobs' })
      const running = await test.claimOne(id, { execution: 'job-1' })
      await test.finish(running, OUTCOMES.released)
      assert.deepEqual(await listAllActive(test.store), [])
      await test.change(id, { kind: 'cancel' })
      assert.deepEqual(await listAllActive(test.store), [])
    },
  },
}

function launch(test: StoreTest, limit = 10) {
  return test.store.reserveForLaunch({ types: [TYPE], limit, holdMs: HOLD_MS })
}
