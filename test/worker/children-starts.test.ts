import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { describe, expect } from 'vitest'
import { defineOperation, handler } from 'waybill'
import type { Waybill } from '../../src/waybill.ts'
import { childProcessRunner } from '../../src/worker/runners/child-process/child-process.ts'
import { isGone, pidOf, worker } from '../support/children.ts'
import { type Act, handlerFile, play, plays } from '../support/handlers.ts'
import { atLength, onlyLong } from '../support/length.ts'
import { QUIET_HOST } from '../support/quiet-host.ts'
import { FIRST_ATTEMPT } from '../support/task.ts'
import { controlTimeouts, LONG_MS } from '../support/timeouts.ts'
import {
  hasFinished,
  hasStatus,
  KeptLog,
  recordOf,
  resultOf,
  SILENT,
  submit,
  type TestContext,
  test,
  until,
  when,
} from '../support/waybill.ts'

const type = plays({ attempts: 2 })

async function perform(waybill: Waybill, ...acts: Act[]): Promise<string> {
  return await submit(waybill, type, play(...acts))
}

/** Sets an environment variable, which children that start from now on inherit. */
function setVariable(lab: TestContext, name: string, value: string): () => void {
  process.env[name] = value
  const unset = () => void delete process.env[name]
  lab.onEnd(unset)
  return unset
}

/** The process that hangs, which it has written to the file. */
async function hangingProcess(file: string): Promise<number> {
  await until(() => existsSync(file) && readFileSync(file, 'utf8') !== '')
  return Number(readFileSync(file, 'utf8'))
}

function textsOf(logger: KeptLog): string {
  return logger.lines.map(({ message, fields }) => `${message} ${'err' in fields ? fields.err : ''}`).join('\n')
}

describe('handlers that cannot be loaded', () => {
  const cases: [name: string, file: string, reason: string][] = [
    ['throw when they are loaded', 'unloadable', 'The handler file has no luck today.'],
    ['have no default export', 'empty', 'has no default export'],
    ['are missing', 'missing', 'Cannot find module'],
  ]
  for (const run of ['children', 'inline'] as const) {
    for (const [name, file, reason] of cases) {
      const define = run === 'children' && file !== 'unloadable' ? onlyLong(test) : test
      define(`fail the start with the reason when they ${name}, for ${run}`, async ({ lab }) => {
        const waybill = lab.composition([type], worker({ handlers: handlerFile(file), run }))
        await expect(waybill.start()).rejects.toThrow(run === 'inline' && file === 'missing' ? /missing/ : reason)
        await expect(waybill.store.sweep(1)).rejects.toThrow()
      })
    }

    test(`do not include handlers that were compiled to CommonJS, for ${run}`, async ({ lab }) => {
      const handlers = new URL('../fixtures/handlers/compiled.cjs', import.meta.url)
      const waybill = await lab.waybill([type], worker({ handlers, run }))
      expect(await resultOf(waybill.store, await perform(waybill))).toBe('compiled')
    })
  }

  test('include handlers as values for child processes', ({ lab }) => {
    const apples = defineOperation({ name: 'apples' })
    const handlers = handler(apples, () => {})
    expect(() => lab.composition([apples], { worker: { handlers, run: 'children' } })).toThrow('must be files')
  })

  for (const run of ['children', 'inline'] as const) {
    test(`fail the start with the time limit when they hang, for ${run}`, async ({ lab }) => {
      const file = lab.file()
      setVariable(lab, 'TEST_HANGING', file)
      // A module is loaded once in each process: with a query it is another one.
      const handlers = new URL(`?for=${run}`, handlerFile('hanging'))
      const waybill = lab.composition([type], worker({ handlers, run, startTimeout: 3000 }))
      await expect(waybill.start()).rejects.toThrow(/did not load within 3 s .*hanging\.ts.*worker\.startTimeout/)
      if (run === 'children' && existsSync(file)) await until(() => isGone(Number(readFileSync(file, 'utf8'))))
    })
  }
})

describe('a worker whose next children cannot start', () => {
  test('hands an operation back once, and claims again when a child is ready', async ({ lab }) => {
    const logger = new KeptLog()
    const waybill = await lab.waybill([type], { logger, ...worker({ handlers: handlerFile('once') }) })
    const repair = setVariable(lab, 'TEST_UNLOADABLE', 'yes')
    const crash = await perform(waybill, { do: 'exit', code: 1 })
    await until(() => logger.lines.filter(({ message }) => message.includes('Could not start a process')).length >= 4)
    expect(textsOf(logger)).toContain('A deployment has broken it.')
    expect((await recordOf(waybill.store, crash)).released).toBe(1)
    repair()
    const { status, attempt, released } = await hasFinished(waybill.store, crash)
    expect({ status, counted: attempt - released, released }).toEqual({ status: 'failed', counted: 2, released: 1 })
  })

  test('continues with the child that it has', async ({ lab }) => {
    const waybill = await lab.waybill([type], worker({ handlers: handlerFile('once'), concurrency: 3 }))
    const repair = setVariable(lab, 'TEST_UNLOADABLE', 'yes')
    const ids = await Promise.all(Array.from({ length: 60 }, () => perform(waybill, { do: 'pid' })))
    const pids = new Set(await Promise.all(ids.map(id => resultOf(waybill.store, id))))
    expect(pids.size).toBe(1)
    const records = await Promise.all(ids.map(id => recordOf(waybill.store, id)))
    expect(records.reduce((sum, { released }) => sum + released, 0)).toBeLessThanOrEqual(4)
    repair()
    const two = await Promise.all([perform(waybill, { do: 'wait' }), perform(waybill, { do: 'wait' })])
    const [first, second] = await Promise.all(two.map(id => pidOf(waybill, id)))
    expect(first).not.toBe(second)
  })

  test('is not blocked by one that hangs: cancels and its other children work', async ({ lab }) => {
    const advance = controlTimeouts(lab)
    const logger = new KeptLog()
    const waybill = await lab.waybill([type], {
      logger,
      ...worker({ handlers: handlerFile('hanging'), concurrency: 2, startTimeout: LONG_MS }),
    })
    const [gate, file] = [lab.file(), lab.file()]
    const busy = await perform(waybill, { do: 'await-file', file: gate })
    await pidOf(waybill, busy)
    setVariable(lab, 'TEST_HANGING', file)
    const canceled = await perform(waybill, { do: 'return' })
    const pid = await hangingProcess(file)
    expect((await recordOf(waybill.store, canceled)).status).toBe('running')
    await waybill.operations.cancel(canceled, '')
    await hasStatus(waybill.store, canceled, 'canceled')
    const waiting = await perform(waybill, { do: 'return', value: 'served' })
    writeFileSync(gate, '')
    expect(await resultOf(waybill.store, busy)).toBe('found')
    expect(await resultOf(waybill.store, waiting)).toBe('served')
    advance(LONG_MS)
    await until(() => textsOf(logger).includes(`did not load within ${LONG_MS / 1000} s`))
    await until(() => isGone(pid))
  })

  test('counts no attempt if the timeout passes before one is ready', async ({ lab }) => {
    const hasty = plays({ attempts: 1, timeout: 2000 })
    const waybill = await lab.waybill([hasty], worker({ handlers: handlerFile('hanging'), maxAttemptsPerChild: 1 }))
    const file = lab.file()
    const repair = setVariable(lab, 'TEST_HANGING', file)
    // Takes the child that has loaded, also where its timeout ends it.
    await hasFinished(waybill.store, await submit(waybill, hasty, play({ do: 'return' })))
    const id = await submit(waybill, hasty, play({ do: 'return', value: 'in the end' }))
    await when(waybill.store, id, ({ released }) => released > 0)
    repair()
    process.kill(await hangingProcess(file), 'SIGKILL')
    expect(await resultOf(waybill.store, id)).toBe('in the end')
  })

  const systems: [name: string, execPath: string][] = [
    ['refuses them at once', '/etc/hostname/node'],
    ['refuses them later', '/no/such/node'],
  ]
  for (const [name, execPath] of atLength(systems.slice(0, 1), systems)) {
    test(`since the system ${name}: nothing is leaked, and everything runs when processes can start again`, async ({
      lab,
    }) => {
      const logger = new KeptLog()
      const waybill = await lab.waybill([type], { logger, ...worker() })
      const id = await perform(waybill, { do: 'exit', code: 1 }, { do: 'return', value: 'recovered' })
      const real = process.execPath
      lab.onEnd(() => {
        process.execPath = real
      })
      process.execPath = execPath
      await until(() => logger.lines.filter(({ message }) => message.includes('Could not start a process')).length >= 3)
      expect(textsOf(logger)).toMatch(/spawn .*(ENOTDIR|ENOENT)/)
      process.execPath = real
      expect(await resultOf(waybill.store, id)).toBe('recovered')
      await until(() => waybill.running() === 0)
    })
  }
})

test('a child that ends because it is idle never gets a run', async ({ lab }) => {
  const concurrency = 4
  const runner = childProcessRunner({
    files: [handlerFile('plays')],
    concurrency,
    logger: SILENT,
    niceness: 0,
    idleMs: 1,
  })
  lab.onEnd(() => runner.close())
  await runner.start()
  const context = { host: QUIET_HOST, signal: new AbortController().signal, graceMs: () => 1000, onError: () => {} }
  for (let round = 0; round < atLength(5, 15); round++) {
    const runs = Array.from({ length: concurrency }, async (_, index) => {
      const input = JSON.stringify(play({ do: 'block', ms: (index + round) % 4 }))
      return await runner.run({ ...FIRST_ATTEMPT, id: `${round}-${index}`, type: type.name, input }, context)
    })
    expect(await Promise.all(runs)).toEqual(runs.map(() => ({ kind: 'completed', output: '"blocked"' })))
    // As long as a child may rest: it ends while the next runs are given out.
    await new Promise(resolve => setTimeout(resolve, 1))
  }
})
