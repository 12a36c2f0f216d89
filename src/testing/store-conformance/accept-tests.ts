import assert from 'node:assert/strict'
import { accepted } from '../../model/state-machine.ts'
import { acceptedOperation, type ListQuery } from '../../stores/store.ts'
import { idsOf, leaseOf, numberedId, OUTCOMES, type StoreTests, TYPE } from './context.ts'

const MINE: ListQuery = { type: TYPE, owner: '', limit: 1000 }

export const acceptTests: StoreTests = {
  name: 'accept',
  tests: {
    'answers with the new record, as the state machine makes it': async test => {
      const submission = test.submission({ owner: 'ann', priority: 7, idempotencyKey: 'k', fingerprint: 'f' })
      const acceptance = await test.store.accept(submission)
      assert.deepEqual(acceptance, { kind: 'accepted', operation: accepted(submission, test.now) })
    },

    'takes a delay and a start deadline by its own clock': async test => {
      const parts = { delay: 1000, startWithin: 5000, endWithin: 9000, traceparent: '00-ab-cd-01' }
      const operation = await test.submit(parts)
      assert.equal(operation.runAt, test.now + 1000)
      assert.equal(operation.startBy, test.now + 6000)
      assert.equal(operation.deadline, test.now + 10_000)
      assert.deepEqual(await test.read(operation.id), operation)
    },

    'makes the operation readable at once, its input too': async test => {
      const operation = await test.submit({ input: '[1,2]' })
      assert.deepEqual(await test.read(operation.id), operation)
      assert.equal(await test.store.readPayload(operation.id, 'input'), '[1,2]')
      assert.equal(await test.store.readPayload(operation.id, 'output'), undefined)
    },

    'keeps tags, and which operation it runs again': async test => {
      const tags = { customer: 'Ada "L" ü', 'a:b': '', '{': '\\' }
      const operation = await test.submit({ tags, retryOf: numberedId(99), idempotencyKey: 'k' })
      assert.deepEqual({ ...operation.tags }, tags)
      assert.equal(operation.retryOf, numberedId(99))
      assert.deepEqual(await test.read(operation.id), operation)
      assert.deepEqual(await test.store.list(MINE), [operation])
      assert.deepEqual(await test.claimOne(operation.id), await test.read(operation.id))
      const plain = await test.submit()
      assert.deepEqual([plain.tags, plain.retryOf, plain.retriedBy], [null, null, null])
    },

    'counts steps that come with a submission as recorded': async test => {
      const steps = [
        ['charge', '{"a":"ü"}'],
        ['large', JSON.stringify('x'.repeat(10_000))],
        ['', '""'],
      ] as const
      const submission = test.submission({ steps, idempotencyKey: 'k' })
      const operation = acceptedOperation(await test.store.accept(submission))
      assert.deepEqual(new Map(await test.store.steps(operation.id)), new Map(steps))
      const running = await test.claimOne(operation.id)
      await test.store.appendNote(leaseOf(running), { kind: 'step', name: 'pack', value: '1' })
      assert.equal((await test.store.accept(submission)).kind, 'accepted')
      assert.equal((await test.store.accept({ ...submission, id: test.nextId() })).kind, 'known')
      assert.deepEqual(new Map(await test.store.steps(operation.id)), new Map([...steps, ['pack', '1']]))
      const limited = test.submission({ steps, limits: { inFlight: 1 } })
      assert.deepEqual(await test.store.accept(limited), { kind: 'refused', limit: 'inFlight' })
      assert.equal((await test.store.steps(limited.id)).size, 0)
    },

    'keeps large and odd inputs to the letter': async test => {
      const odd = JSON.stringify({ 'a"\\': '\u0000\u2028😀é\ud800', zeros: [0, -0, 1e300, 1.5] })
      for (const input of [odd, `  { "spaced" : 1 }\n`, JSON.stringify('ü'.repeat(600_000)), 'null', '""']) {
        const { id } = await test.submit({ input })
        assert.equal(await test.store.readPayload(id, 'input'), input)
        assert.equal((await test.store.claim({ ...claimOf(id) }))[0]?.input, input)
      }
    },

    'keeps owners and keys to the letter, in all of Unicode': async test => {
      const names = ["o'neil", 'ANN', 'ann', 'é', 'e\u0301', '😀', ' ann ', '%', '_', '']
      for (const owner of names) await test.submit({ owner, idempotencyKey: owner })
      for (const owner of names) {
        const [operation, ...others] = await test.store.list({ ...MINE, owner })
        assert.equal(operation?.owner, owner)
        assert.equal(operation?.idempotencyKey, owner)
        assert.equal(others.length, 0)
      }
    },

    'finds nothing under an id that it does not know': async test => {
      const id = numberedId(99)
      assert.equal(await test.store.read(id), undefined)
      assert.equal(await test.store.readPayload(id, 'input'), undefined)
      assert.deepEqual([...(await test.store.steps(id))], [])
      assert.deepEqual(await test.store.logs(id, 0), [])
      assert.equal(await test.store.change(id, { kind: 'cancel' }), undefined)
    },

    'can be repeated with the same id: the first one stands': async test => {
      const submission = test.submission({ input: '1' })
      await test.store.accept(submission)
      const running = await test.claimOne(submission.id)
      const again = await test.store.accept({ ...submission, input: '2', priority: 9 })
      assert.deepEqual(again, { kind: 'accepted', operation: running })
      assert.equal(await test.store.readPayload(submission.id, 'input'), '1')
    },

    'can be repeated with the same id and key': async test => {
      const submission = test.submission({ idempotencyKey: 'k' })
      const first = await test.store.accept(submission)
      const again = await test.store.accept(submission)
      assert.deepEqual(again, first)
      assert.equal((await test.store.list(MINE)).length, 1)
    },

    'accepts many at once': async test => {
      const operations = await test.submitMany(300)
      assert.deepEqual(idsOf(await test.store.list(MINE)), idsOf(operations).reverse())
    },

    'makes one operation of a hundred racing submits with one key': async test => {
      const answers = await Promise.all(
        Array.from({ length: 100 }, () => test.store.accept(test.submission({ idempotencyKey: 'k' }))),
      )
      assert.equal(answers.filter(({ kind }) => kind === 'accepted').length, 1)
      assert.equal(new Set(answers.map(answer => acceptedOperation(answer).id)).size, 1)
      assert.equal((await test.store.list(MINE)).length, 1)
    },

    'answers a known key with its operation as it is now, whatever the fingerprint': async test => {
      const operation = await test.submit({ idempotencyKey: 'k', fingerprint: 'one' })
      const done = await test.finish(await test.claimOne(operation.id), OUTCOMES.completed)
      const answer = await test.store.accept(test.submission({ idempotencyKey: 'k', fingerprint: 'two' }))
      assert.deepEqual(answer, { kind: 'known', operation: done })
    },

    'keeps the keys of owners and types apart': async test => {
      const scopes = [
        { owner: 'ann', type: 'orders' },
        { owner: 'bob', type: 'orders' },
        { owner: 'ann', type: 'refunds' },
      ]
      for (const scope of scopes) {
        const { kind } = await test.store.accept(test.submission({ ...scope, idempotencyKey: 'k' }))
        assert.equal(kind, 'accepted')
      }
    },

    'refuses what exceeds a limit of its owner, and writes nothing of it': async test => {
      const limits = { inFlight: 2 }
      const [first] = await test.submitMany(2, { owner: 'ann', limits })
      const refused = test.submission({ owner: 'ann', limits, idempotencyKey: 'k' })
      assert.deepEqual(await test.store.accept(refused), { kind: 'refused', limit: 'inFlight' })
      assert.equal(await test.store.read(refused.id), undefined)
      assert.equal(await test.store.findByKey(TYPE, 'ann', 'k'), undefined)
      // Another owner, another type and a submission without limits have places of their own.
      await test.submit({ owner: 'bob', limits })
      await test.submit({ owner: 'ann', type: 'refunds', limits })
      await test.submit({ owner: 'ann' })
      assert.ok(first)
      await test.finish(await test.claimOne(first.id), OUTCOMES.completed)
      assert.equal((await test.store.accept(refused)).kind, 'refused')
      await test.submit({ owner: 'ann', limits: { inFlight: 3 }, idempotencyKey: 'k' })
    },

    'refuses what exceeds a limit of the backlog, which is what is ready': async test => {
      const limits = { backlog: 2 }
      await test.submit({ delay: 1000 })
      const [first] = await test.submitMany(2, { limits })
      const refused = test.submission({ owner: 'ann', limits })
      assert.deepEqual(await test.store.accept(refused), { kind: 'refused', limit: 'backlog' })
      assert.equal(await test.store.read(refused.id), undefined)
      await test.submit({ type: 'refunds', limits })
      assert.ok(first)
      await test.claimOne(first.id)
      assert.equal((await test.store.accept(refused)).kind, 'accepted')
      await test.claimOne(refused.id)
      // What was delayed counts from when it is due.
      test.clock.advance(1000)
      assert.equal((await test.store.accept(test.submission({ limits }))).kind, 'refused')
    },

    'keeps limits for submissions at once, also where one exceeds the other': async test => {
      const submissions = ['ann', 'bob', 'eve'].flatMap(owner =>
        Array.from({ length: 30 }, () => test.submission({ owner, limits: { inFlight: 4, backlog: 10 } })),
      )
      const answers = await Promise.all(submissions.map(submission => test.store.accept(submission)))
      const kept = await Promise.all(['ann', 'bob', 'eve'].map(owner => test.store.list({ ...MINE, owner })))
      assert.deepEqual(kept.map(({ length }) => length).sort(), [2, 4, 4])
      assert.equal(answers.filter(({ kind }) => kind === 'accepted').length, 10)
    },

    'answers equal submits with one operation though a limit is reached, however they race': async test => {
      const limits = { inFlight: 1, backlog: 1 }
      const submissions = Array.from({ length: 20 }, () => test.submission({ limits, idempotencyKey: 'k' }))
      const answers = await Promise.all(submissions.map(submission => test.store.accept(submission)))
      assert.equal(answers.filter(({ kind }) => kind === 'accepted').length, 1)
      assert.equal(answers.filter(({ kind }) => kind === 'known').length, 19)
      const made = submissions[answers.findIndex(({ kind }) => kind === 'accepted')]
      assert.ok(made)
      // A submission that is repeated by its id, as after an answer that was lost, is accepted as before.
      assert.equal((await test.store.accept(made)).kind, 'accepted')
      assert.equal((await test.store.accept(test.submission({ limits, idempotencyKey: 'k' }))).kind, 'known')
      assert.equal((await test.store.accept(test.submission({ limits, idempotencyKey: 'l' }))).kind, 'refused')
    },

    'leaves the places of others to them where one key is repeated': async test => {
      const limits = { backlog: 5 }
      await test.submitMany(3)
      await test.submit({ owner: 'ann', idempotencyKey: 'k' })
      const repeats = Array.from({ length: 20 }, () => test.submission({ owner: 'ann', limits, idempotencyKey: 'k' }))
      const others = test.submission({ owner: 'bob', limits, idempotencyKey: 'k' })
      const answers = await Promise.all([...repeats, others].map(submission => test.store.accept(submission)))
      assert.deepEqual(new Set(answers.slice(0, -1).map(({ kind }) => kind)), new Set(['known']))
      assert.equal(answers.at(-1)?.kind, 'accepted')
    },

    'never joins operations without a key': async test => {
      await test.submitMany(2, { fingerprint: 'same' })
      assert.equal((await test.store.list(MINE)).length, 2)
    },
  },
}

function claimOf(id: string) {
  return { holder: 'h', leaseMs: 1000, execution: null, from: { id } }
}
