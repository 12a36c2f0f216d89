import assert from 'node:assert/strict'
import { HOUR, idsOf, LEASE_MS, numberedId, OUTCOMES, type StoreTest, type StoreTests } from './context.ts'

const parent = numberedId(97)

export const familyTests: StoreTests = {
  name: 'parents and children',
  tests: {
    'a record says who its parent is, and plain ones that they have none': async test => {
      const { id } = await test.submit({ parent })
      assert.equal((await test.read(id)).parent, parent)
      const plain = await test.submit()
      assert.deepEqual([plain.parent, plain.familyDue], [null, false])
    },

    'children are listed by their state in the order of their ids, page by page': async test => {
      const ids = await endings(test)
      const [completed, failed, canceled, ...unfinished] = ids
      const list = (state: 'unfinished' | 'completed' | 'failed' | 'canceled', limit = 1000, after?: string) =>
        test.store.listChildren({ parent, state, limit, after })
      assert.deepEqual(await list('unfinished'), unfinished)
      assert.deepEqual(await list('unfinished', 1), unfinished.slice(0, 1))
      assert.deepEqual(await list('unfinished', 1000, unfinished[0]), unfinished.slice(1))
      assert.deepEqual(
        [await list('completed'), await list('failed'), await list('canceled')],
        [[completed], [failed], [canceled]],
      )
      assert.deepEqual(await test.store.listChildren({ parent: numberedId(1), state: 'unfinished', limit: 1000 }), [])
    },

    'children are counted by how they have ended': async test => {
      await endings(test)
      assert.deepEqual(await test.store.countChildren(parent), { unfinished: 3, completed: 1, failed: 1, canceled: 1 })
      const none = { unfinished: 0, completed: 0, failed: 0, canceled: 0 }
      assert.deepEqual(await test.store.countChildren(numberedId(1)), none)
    },

    'the end of a child is due to be told, however it has ended, until it was': async test => {
      const ended = [await test.end(OUTCOMES.completed, { parent }), await test.end(OUTCOMES.failed, { parent })]
      const canceled = await test.submit({ parent })
      await test.change(canceled.id, { kind: 'cancel' })
      const lost = await test.run({ parent, maxLost: 0 })
      test.clock.advance(LEASE_MS)
      await test.store.sweep(100)
      const ids = [...idsOf(ended), canceled.id, lost.id]
      assert.deepEqual(idsOf(await test.store.familyDue(100)), ids)
      assert.deepEqual(await test.store.familyDue(1), [await test.read(ids[0] ?? '')])
      for (const id of ids) assert.equal((await test.change(id, { kind: 'family-told' })).familyDue, false)
      assert.deepEqual(await test.store.familyDue(100), [])
      assert.equal(await test.store.change(ids[0] ?? '', { kind: 'family-told' }), undefined)
    },

    'so is the end of an operation that has submitted some, and of no other': async test => {
      const { id, attempt } = await test.run()
      assert.deepEqual((await test.change(id, { kind: 'has-children', attempt })).waits?.children, {
        told: 0,
        unfinished: 0,
      })
      assert.deepEqual(await test.store.familyDue(100), [])
      const ended = await test.change(id, { kind: 'finish', attempt, outcome: OUTCOMES.completed })
      assert.equal(ended.familyDue, true)
      await test.end(OUTCOMES.completed)
      assert.deepEqual(await test.store.familyDue(100), [ended])
    },

    'a parent that waits is ready once few enough of its children are unfinished': async test => {
      const { id, attempt } = await suspended(test, 1)
      const waiting = await test.change(id, { kind: 'children-ended', unfinished: 2, told: 0 })
      assert.notEqual(waiting.runAt, null)
      assert.deepEqual(await test.claim(1), [])
      // Its count is older than that of the report before it.
      assert.equal(await test.store.change(id, { kind: 'children-ended', unfinished: 1, told: 0 }), undefined)
      const ready = await test.change(id, { kind: 'children-ended', unfinished: 1, told: 1 })
      assert.deepEqual([ready.runAt, ready.waits?.children], [null, { told: 2, unfinished: 1 }])
      const [claim] = await test.claim(1)
      assert.equal(claim?.operation.attempt, attempt + 1)
    },

    'a parent that was told while it ran does not wait for what it was told': async test => {
      const { id, attempt } = await test.run()
      await test.change(id, { kind: 'has-children', attempt })
      await test.change(id, { kind: 'children-ended', unfinished: 0, told: 0 })
      const waiting = (told: number) => ({
        kind: 'suspended' as const,
        waits: [{ kind: 'children' as const, name: 'all', withinMs: null, left: 0, told }],
      })
      const ready = await test.change(id, { kind: 'finish', attempt, outcome: waiting(0) })
      assert.equal(ready.runAt, null)
      await test.claim(1)
      // It has looked after it was told: what it waits for is something else.
      const again = await test.change(id, { kind: 'finish', attempt: attempt + 1, outcome: waiting(1) })
      assert.notEqual(again.runAt, null)
    },

    'a child that was deleted is counted no more': async test => {
      const { id } = await test.end(OUTCOMES.completed, { parent, retention: HOUR })
      test.clock.advance(HOUR)
      await test.store.sweep(100)
      test.clock.advance(24 * HOUR)
      await test.store.sweep(100)
      assert.equal(await test.store.read(id), undefined)
      assert.deepEqual(await test.store.countChildren(parent), { unfinished: 0, completed: 0, failed: 0, canceled: 0 })
    },
  },
}

/** A completed, a failed and a canceled child, and three unfinished ones. */
async function endings(test: StoreTest): Promise<string[]> {
  const completed = await test.end(OUTCOMES.completed, { parent })
  const failed = await test.end(OUTCOMES.failed, { parent })
  const canceled = await test.submit({ parent })
  await test.change(canceled.id, { kind: 'cancel' })
  const running = await test.run({ parent })
  const pending = [await test.submit({ parent }), await test.submit({ parent, delay: HOUR })]
  await test.submit({ parent: numberedId(96) })
  await test.submit()
  return [completed.id, failed.id, canceled.id, running.id, ...idsOf(pending)]
}

async function suspended(test: StoreTest, left: number) {
  const { id, attempt } = await test.run()
  await test.change(id, { kind: 'has-children', attempt })
  const waits = [{ kind: 'children' as const, name: 'all', withinMs: null, left, told: 0 }]
  return await test.change(id, { kind: 'finish', attempt, outcome: { kind: 'suspended', waits } })
}
