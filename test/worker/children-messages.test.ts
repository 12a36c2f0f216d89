import { describe, expect } from 'vitest'
import { sqliteStore } from 'waybill/stores/sqlite'
import type { Store } from '../../src/stores/store.ts'
import { enclose, readFromChild, readToChild } from '../../src/worker/runners/child-process/child-messages.ts'
import { childProcessRunner } from '../../src/worker/runners/child-process/child-process.ts'
import type { Host } from '../../src/worker/runners/runner.ts'
import { pidOf, worker } from '../support/children.ts'
import { handlerFile, play, plays } from '../support/handlers.ts'
import { QUIET_HOST } from '../support/quiet-host.ts'
import { FIRST_ATTEMPT } from '../support/task.ts'
import {
  faultyStore,
  hasFinished,
  KeptLog,
  recordOf,
  resultOf,
  SILENT,
  submit,
  test,
  until,
} from '../support/waybill.ts'

const type = plays({ attempts: 2 })

describe('messages that a handler sends with process.send', () => {
  const outcome = { kind: 'completed', output: '"forged"' }

  test('are ignored with one line in the log', async ({ lab }) => {
    const logger = new KeptLog()
    const waybill = await lab.waybill([type], { logger, ...worker() })
    const messages = [null, 'end', 7, [], {}, { kind: 'end' }, { kind: 'end', outcome }, { run: 1, content: outcome }]
    for (let round = 0; round < 2; round++) {
      const id = await submit(waybill, type, play({ do: 'send', messages }))
      expect(await resultOf(waybill.store, id)).toBe('sent')
    }
    const ignored = logger.lines.filter(({ message }) => message.includes("not Waybill's"))
    expect(ignored).toHaveLength(1)
  })

  test('have no effect if they imitate the envelope with invalid contents', () => {
    const contents = [
      null,
      {},
      { kind: 'constructor' },
      { kind: 'end' },
      { kind: 'end', outcome: null },
      { kind: 'end', outcome: { kind: 'completed' } },
      { kind: 'end', outcome: { kind: 'toString' } },
      { kind: 'progress', progress: { fraction: 'half' } },
      { kind: 'log', level: 'loud', message: 'text' },
      { kind: 'question', number: 1, question: { ask: 'everything' } },
      { kind: 'question', number: 1, question: { ask: 'record-step', name: 'a' } },
      { kind: 'loaded', types: [1] },
    ]
    for (const content of contents) {
      expect(readFromChild(enclose(1, content))).toBeUndefined()
      expect(readToChild(enclose(1, content))).toBeUndefined()
    }
    expect(readFromChild({ ...enclose(1, { kind: 'begun' }), mark: 'another' })).toBeUndefined()
    expect(readFromChild({ ...enclose(1, { kind: 'begun' }), run: 'one' })).toBeUndefined()
    expect(readFromChild(enclose(1, { kind: 'begun' }))).toBeDefined()
  })
})

describe('a question of a child', () => {
  for (const method of ['steps', 'appendNote'] satisfies (keyof Store)[]) {
    test(`has an answer if ${method} of the store fails, and the worker continues`, async ({ lab }) => {
      const { store, cut } = faultyStore(sqliteStore({ path: ':memory:' }))
      const waybill = await lab.waybill([type], { store, ...worker() })
      const pid = await resultOf(waybill.store, await submit(waybill, type, play({ do: 'pid' })))
      cut.add(method)
      const id = await submit(waybill, type, play({ do: 'step' }, { do: 'pid' }))
      // The second attempt runs in the same child: the first one has failed there, and has ended.
      expect(await resultOf(waybill.store, id)).toBe(pid)
      cut.clear()
      expect((await recordOf(waybill.store, id)).attempt).toBe(2)
    })
  }

  const broken: Record<string, Partial<Host>> = {
    'throws at once': {
      steps: () => {
        throw new Error('It is thrown at once.')
      },
    },
    rejects: { steps: () => Promise.reject(new Error('It is rejected.')) },
    'cannot be read': { steps: () => Promise.reject(Object.create(null)) },
    'answers with what cannot be sent': { steps: async () => new Map([['a', () => {}]]) as never },
    'throws for what has no answer': {
      log: () => {
        throw new Error('It is thrown for a line.')
      },
    },
  }
  for (const [name, host] of Object.entries(broken)) {
    test(`has exactly one answer when its worker's side ${name}`, async ({ lab }) => {
      const runner = childProcessRunner({
        files: [handlerFile('plays')],
        concurrency: 1,
        logger: SILENT,
        niceness: 0,
      })
      lab.onEnd(() => runner.close())
      await runner.start()
      const errors: unknown[] = []
      const context = {
        host: { ...QUIET_HOST, ...host },
        signal: new AbortController().signal,
        graceMs: () => 1000,
        onError: (error: unknown) => void errors.push(error),
      }
      const run = async (act: 'step' | 'pid') => {
        const input = JSON.stringify(play({ do: act }))
        return await runner.run({ ...FIRST_ATTEMPT, type: 'plays', input }, context)
      }
      const stepped = await run('step')
      expect(stepped.kind).toBe('steps' in host ? 'retry' : 'completed')
      expect((await run('pid')).kind).toBe('completed')
    })
  }

  test('that is never answered ends with its run, and its child runs the next one', async ({ lab }) => {
    const { store, hung } = faultyStore(sqliteStore({ path: ':memory:' }))
    const waybill = await lab.waybill([type], { store, storeTimeout: '1h', ...worker({ gracePeriod: 100 }) })
    hung.add('steps')
    const id = await submit(waybill, type, play({ do: 'step' }))
    await pidOf(waybill, id)
    await waybill.operations.cancel(id, '')
    await hasFinished(waybill.store, id)
    hung.clear()
    await resultOf(waybill.store, await submit(waybill, type, play({ do: 'step' })))
    await until(() => waybill.running() === 0)
  })
})
