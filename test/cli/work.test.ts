import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { describe, expect } from 'vitest'
import type { Store } from '../../src/stores/store.ts'
import { startWaybill, waybillProcess } from '../support/cli.ts'
import { files } from '../support/files.ts'
import { type Act, handlerFile, play, plays } from '../support/handlers.ts'
import { atLength, onlyLong } from '../support/length.ts'
import {
  hasFinished,
  hasStatus,
  recordOf,
  resultOf,
  submit,
  type TestContext,
  test,
  until,
} from '../support/waybill.ts'

const type = plays()
const handlers = fileURLToPath(handlerFile('plays'))

/** A store on a file, and what a command needs to work on it. */
async function laid(lab: TestContext) {
  const path = lab.file()
  const store = await lab.store(path)
  const composition = lab.composition([type], { store })
  return {
    store,
    url: `sqlite:${path}`,
    submit: (...acts: Act[]) => submit(composition, type, play(...acts)),
  }
}

/** Resolves when a handler of the operation has begun: its first log line is there. */
async function isAtWork(store: Store, id: string): Promise<void> {
  await until(
    async () => (await store.logs(id, 0)).length > 0,
    () => `The operation ${id} has no log.`,
  )
}

describe('waybill work', () => {
  test.for(atLength<readonly ('children' | 'inline')[]>(['children'], ['children', 'inline']))(
    'runs handlers (%s), and gets the types from them',
    async (run, { lab }) => {
      const { store, url, submit } = await laid(lab)
      const before = await submit({ do: 'return', value: 1 })
      const { child, writes, ended } = startWaybill([
        'work',
        handlers,
        '--store',
        url,
        '--run',
        run,
        '--concurrency',
        '2',
      ])
      await writes(`Working on plays from ${url}.`)
      const after = await submit({ do: 'pid' })
      await hasStatus(store, before, 'completed')
      await hasStatus(store, after, 'completed')
      expect((await resultOf(store, after)) === child.pid).toBe(run === 'inline')
      child.kill('SIGTERM')
      expect(await ended).toMatchObject({ code: 0, err: '' })
    },
  )

  test.for(atLength<readonly ('SIGTERM' | 'SIGINT')[]>(['SIGTERM'], ['SIGTERM', 'SIGINT']))(
    'hands unfinished work back at %s, and exits with 0',
    async (signal, { lab }) => {
      const { store, url, submit } = await laid(lab)
      const id = await submit({ do: 'wait' })
      const { child, ended } = startWaybill(['work', '--handlers', handlers], { WAYBILL_STORE: url })
      await isAtWork(store, id)
      // As npm passes on a Ctrl-C: once more.
      child.kill(signal)
      child.kill(signal)
      expect((await ended).code).toBe(0)
      expect(await recordOf(store, id)).toMatchObject({ status: 'pending', attempt: 1, released: 1 })
    },
  )

  test('ends at once at a second signal', async ({ lab }) => {
    const { store, url, submit } = await laid(lab)
    const id = await submit({ do: 'ignore' })
    const { child, ended } = startWaybill(['work', handlers, '--store', url])
    await isAtWork(store, id)
    child.kill('SIGTERM')
    await sleep(500)
    child.kill('SIGTERM')
    expect((await ended).code).toBe(1)
    expect((await recordOf(store, id)).status).toBe('running')
  })

  test('exits with 0 once the queue is empty', async ({ lab }) => {
    const { store, url, submit } = await laid(lab)
    const ids = [await submit({ do: 'return' }), await submit({ do: 'block', ms: 300 }), await submit({ do: 'pid' })]
    const args = ['work', handlers, '--store', url, '--until-idle', '--idle', '0s', '--concurrency', '1']
    expect(await waybillProcess(args)).toMatchObject({ code: 0, err: '' })
    for (const id of ids) expect((await recordOf(store, id)).status).toBe('completed')
    expect(await waybillProcess(args)).toMatchObject({ code: 0, err: '' })
  })

  onlyLong(() => {
    test('reports why handlers cannot be loaded', async ({ lab }) => {
      const { url } = await laid(lab)
      const none = await waybillProcess(['work', './no-such.ts', '--store', url])
      expect(none).toMatchObject({
        code: 1,
        err: expect.stringMatching(/^waybill work: Cannot find module .*no-such\.ts/),
      })
      const empty = await waybillProcess(['work', fileURLToPath(handlerFile('empty')), '--store', url])
      expect(empty).toMatchObject({ code: 1, err: expect.stringContaining('has no default export') })
    })
  })()
})

describe('waybill run', () => {
  test('runs the given operation, and exits with 0, also if it cannot be claimed', async ({ lab }) => {
    const { store, url, submit } = await laid(lab)
    const [id, other] = [await submit({ do: 'return', value: 42 }), await submit({ do: 'return' })]
    const env = { WAYBILL_STORE: url, WAYBILL_OPERATION_ID: id, WAYBILL_EXECUTION: 'orders-job-1' }
    expect(await waybillProcess(['run', handlers], env)).toMatchObject({ code: 0, err: '' })
    expect(await resultOf(store, id)).toBe(42)
    const { history } = await hasFinished(store, id)
    expect(history).toMatchObject([{ outcome: 'completed', execution: 'orders-job-1' }])
    expect(await waybillProcess(['run', handlers], env)).toMatchObject({ code: 0, err: '' })
    expect((await recordOf(store, other)).status).toBe('pending')
    expect((await waybillProcess(['run', '--run', 'inline', '--id', other, handlers], env)).code).toBe(0)
    expect((await recordOf(store, other)).status).toBe('completed')
  })

  onlyLong(() => {
    test('hands work back at the two signals that npm sends for one Ctrl-C', async ({ lab }) => {
      const { store, url, submit } = await laid(lab)
      const id = await submit({ do: 'wait' })
      const { child, ended } = startWaybill(['run', '--id', id, handlers, '--store', url])
      await isAtWork(store, id)
      child.kill('SIGINT')
      child.kill('SIGINT')
      expect((await ended).code).toBe(0)
      expect(await recordOf(store, id)).toMatchObject({ status: 'pending', released: 1 })
    })
  })()
})

describe('waybill work and run', () => {
  test.for(atLength<readonly ('work' | 'run')[]>(['work'], ['work', 'run']))(
    '%s: handlers may return binary results if there is a blob store',
    async (name, { lab }) => {
      const file = lab.file()
      const store = await lab.store(file)
      const path = join(file, '../results')
      const id = await submit(lab.composition([files()], { store }), files(), { as: 'text', text: 'grüße' })
      const args = [name, fileURLToPath(handlerFile('files')), '--store', `sqlite:${file}`, '--blobs', `folder:${path}`]
      const more = name === 'run' ? ['--id', id] : ['--until-idle', '--idle', '0s']
      expect(await waybillProcess([...args, ...more])).toMatchObject({ code: 0, err: '' })
      expect((await hasFinished(store, id)).status).toBe('completed')
      expect(readdirSync(join(path, id))).toEqual(['1'])
    },
  )
})
