import { existsSync, readFileSync, statSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect } from 'vitest'
import { sqliteStore } from 'waybill/stores/sqlite'
import { manualClock } from 'waybill/testing'
import type { Operation, Outcome } from '../../src/model/operation.ts'
import { problem } from '../../src/model/problem.ts'
import type { Store } from '../../src/stores/store.ts'
import { describeError } from '../../src/worker/attempt-error.ts'
import { startWaybill, waybill, waybillInShell } from '../support/cli.ts'
import { atLength, onlyLong } from '../support/length.ts'
import { submissionOf } from '../support/submission.ts'
import { type TestContext, test } from '../support/waybill.ts'

const SECRET = 'the patient’s name'
const by = { holder: 'host-a/1/x', leaseMs: 30_000, execution: 'orders-job-7f3', engine: 'container-apps' }
const idOf = (number: number) => `01941f29-7c00-7000-8000-00000000000${number}`

/** A file with some operations of several owners: 1 completed, 2 lost and then failed, 3 running, 4 pending. */
async function filled(lab: TestContext): Promise<{ url: string; operations: Operation[] }> {
  const path = lab.file()
  const clock = manualClock()
  const store = sqliteStore({ path, synchronous: 'NORMAL', clock: clock.now })
  await store.open()
  await begun(store, 1, { owner: 'ann', type: 'refunds' })
  await store.appendNote({ id: idOf(1), attempt: 1 }, { kind: 'step', name: 'charge', value: JSON.stringify(SECRET) })
  for (const message of ['one', '\u001b[31mtwo\n', 'three']) {
    await store.appendNote({ id: idOf(1), attempt: 1 }, { kind: 'log', level: 'info', message })
  }
  clock.advance(1500)
  await finish(store, 1, 1, { kind: 'completed', output: JSON.stringify(SECRET) })
  await begun(store, 2)
  await store.change(idOf(2), { kind: 'abandon', attempt: 1, reason: 'Its process was ended by SIGKILL.' })
  await store.claim({ ...by, execution: null, from: { id: idOf(2) } })
  await finish(store, 2, 2, { kind: 'failed', problem: problem('operation-failed', 'No apples left.') })
  await begun(store, 3, { owner: 'bob' })
  await store.change(idOf(3), { kind: 'progress', attempt: 1, progress: { fraction: 0.5, message: 'packing\u0007' } })
  await store.accept(submissionOf(idOf(4), { input: JSON.stringify(SECRET), idempotencyKey: 'k' }))
  const operations = [...(await store.browse({ limit: 10 })).operations]
  await store.close()
  return { url: `sqlite:${path}`, operations }
}

async function begun(store: Store, number: number, parts: Parameters<typeof submissionOf>[1] = {}): Promise<void> {
  await store.accept(submissionOf(idOf(number), { input: JSON.stringify(SECRET), ...parts }))
  await store.claim({ ...by, from: { id: idOf(number) } })
}

async function finish(store: Store, number: number, attempt: number, outcome: Outcome): Promise<void> {
  await store.change(idOf(number), { kind: 'finish', attempt, outcome })
}

const lines = (text: string) => text.trimEnd().split('\n')

describe('the command', () => {
  test('lists its commands, and the options of each', async () => {
    const overview = await waybill(['help'])
    expect(overview).toMatchObject({ code: 0, err: '' })
    const commands = [...overview.out.matchAll(/^ {2}([a-z]+) /gm)].map(([, name = '']) => name)
    expect(commands).toEqual(expect.arrayContaining(['work', 'run', 'ls', 'show', 'migrate', 'copy']))
    expect(await waybill([])).toEqual(overview)
    const reference = readFileSync(new URL('../../docs/reference/cli.md', import.meta.url), 'utf8')
    for (const name of commands) {
      const { code, out } = await waybill(['help', name])
      expect(code).toBe(0)
      expect(reference).toContain(`## waybill ${name}\n`)
      expect(out).toContain('\nExamples:\n  ')
      for (const [option] of out.matchAll(/^ {2}--[a-z-]+/gm)) expect(reference).toContain(`\`${option.trim()}`)
      expect(out.includes('[options]'), name).toBe(/\n {2}--/.test(out))
      expect(out, name).not.toContain('\n\n\n')
    }
  })

  test('prints its version', async () => {
    expect((await waybill(['--version'])).out).toMatch(/^\d+\.\d+\.\d+\n$/)
  })

  test.for([
    [['lst'], /^waybill: unknown command "lst"\. The commands are init, dev, work, .*help\.$/],
    [['help', 'lst'], /^waybill: unknown command "lst"/],
    [['ls', '--colour'], /^waybill ls: Unknown option --colour: waybill ls accepts --store, --url, /],
    [['ls', '--limit'], /^waybill ls: --limit needs a value: --limit N\.$/],
    [['ls', '--json=yes'], /^waybill ls: --json does not take a value: remove "yes"\.$/],
    [['ls', '--limit', '0'], /^waybill ls: --limit must be a whole number from 1 to 1000, not "0"\.$/],
    [['ls', '--status', 'done'], /^waybill ls: --status must be one of pending, running, .*, not "done"\.$/],
    [
      ['ls', '--after', 'zzz'],
      /^waybill ls: --after must be the id of an operation, as ls and show print it, not "zzz"\.$/,
    ],
    [['ls', '--after', idOf(1).toUpperCase()], /^waybill ls: --after must be the id of an operation/],
    [['ls', 'status:done'], /^waybill ls: status:done: a status is one of pending, /],
    [['migrate', 'orders'], /^waybill migrate: Unexpected argument "orders": see "waybill help migrate"\.$/],
    [['cancel', 'zz', '--store', 'sqlite::memory:'], /^waybill cancel: /],
    [['cancel', idOf(1), '--url', 'orders'], /^waybill cancel: --url must be the base URL of an API, such as/],
    [['submit', 'orders', '--data', '{'], /^waybill submit: --data is not JSON: /],
    [['backup', '--to', 'x.db'], /^waybill backup: No store is given: use --store .*, or set WAYBILL_STORE\.$/],
    [
      ['ls'],
      /^waybill ls: No store is given: use --store sqlite:\.\/orders\.db, or set WAYBILL_STORE, or --url with the base URL of an API\.$/,
    ],
    [['show'], /^waybill show: An argument is missing: waybill show ID\.$/],
    [
      ['work', '--store', 'sqlite:x.db'],
      /^waybill work: No handler file is given: name one, such as \.\/processor\.ts\.$/,
    ],
    [
      ['work', '--store', 'sqlite:x.db', '--idle', 'soon'],
      /^waybill work: --idle must be a number of milliseconds or a string such as/,
    ],
    [
      ['run', '--store', 'sqlite:x.db', 'a.ts'],
      /^waybill run: No operation is given: use --id ID, or set WAYBILL_OPERATION_ID\.$/,
    ],
    [['emulate', 'aws', '--', 'node'], /^waybill emulate: Cannot emulate "aws": use azure or kubernetes\.$/],
    [
      ['emulate', 'azure'],
      /^waybill emulate: The program of the executions is missing: waybill emulate azure -- node job\.ts\.$/,
    ],
    [['copy', '--from', 'sqlite:x.db'], /^waybill copy: Both stores are needed: waybill copy --from/],
    [
      ['copy', '--from', 'sqlite:x', '--to', 'sqlite:x'],
      /^waybill copy: --from and --to both name sqlite:x: a copy needs two/,
    ],
  ] as const)('%j is refused with one line and exit code 2', async ([args, message]) => {
    expect(await refusalOf(args, 2)).toMatch(message)
  })

  test.for([
    ['orders.db', /^waybill ls: "orders\.db" is not the URL of a store: write sqlite:<file>, postgres:/],
    ['sqlite:', /is not the URL of a store/],
    ['postgres://u:s3cr3t@:x/y', /^waybill ls: "postgres:…" is not the URL of a store/],
    ['cosmos:https://account.documents.azure.com/database', /is not the URL of a store/],
    ['cosmos:https://account.documents.azure.com/%zz/container', /is not the URL of a store/],
    ['cosmos:database/container', /is not the URL of a store/],
  ] as const)(
    '%s, which is not the URL of a store, is refused with one line and exit code 2',
    async ([url, message]) => {
      expect(await refusalOf(['ls', '--store', url], 2)).toMatch(message)
      expect(await refusalOf(['migrate', '--plan', '--store', url], 2)).toContain('is not the URL of a store')
    },
  )

  test('a URL that is not of a blob store is refused with one line and exit code 2', async () => {
    const message = await refusalOf(['show', idOf(1), '--store', 'sqlite:x.db', '--blobs', 'folder:'], 2)
    expect(message).toMatch(/^waybill show: "folder:" is not the URL of a blob store: write folder:<path>,/)
  })

  test.for([
    ['sqlite:./no-such.db', /^waybill ls: There is no SQLite file .*no-such\.db: check the path after "sqlite:"\.$/],
    ['sqlite:/etc/passwd', /"\/etc\/passwd" cannot be opened: .*not a database\. Name a new file, or the one that/],
    [
      'sqlite:/etc',
      /^waybill ls: The SQLite file "\/etc" cannot be opened: .*\. That is a folder: name a file in it\.$/,
    ],
    ['postgres://u:s3cr3t@127.0.0.1:1/x', /^waybill ls: .*ECONNREFUSED/],
  ] as const)('an unusable store, %s, is reported with one line and exit code 1', async ([url, message]) => {
    expect(await refusalOf(['ls', '--store', url], 1)).toMatch(message)
    expect(existsSync('no-such.db')).toBe(false)
  })

  const FULL = /^waybill \w+: The output could not be written: ENOSPC: no space left on device, write\.\n$/

  test.for(atLength([['ls']], [['help'], ['ls'], ['ls', '--json'], ['show', idOf(1)], ['migrate', '--plan']]))(
    '%j exits with 1 and an error if its output cannot be written',
    async (args, { lab }) => {
      const { url } = await filled(lab)
      const { code, err } = await waybillInShell(`export WAYBILL_STORE=${url}; exec "$@" > /dev/full`, args)
      expect([code, err]).toEqual([1, expect.stringMatching(FULL)])
    },
  )

  onlyLong(() => {
    test('exits with 1 if only a part of its output can be written', async ({ lab }) => {
      const [url, path] = [`sqlite:${lab.file()}`, `${lab.file()}.sql`]
      const { code, err } = await waybillInShell(`ulimit -f 1; exec "$@" > ${path}`, [
        'migrate',
        '--plan',
        '--store',
        url,
      ])
      expect([code, err]).toEqual([
        1,
        expect.stringMatching(/^waybill migrate: The output could not be written: EFBIG/),
      ])
      expect(statSync(path).size).toBeGreaterThan(0)
    })
  })()

  test('exits as usual if it prints nothing to an output that cannot be written', async () => {
    const { code, err } = await waybillInShell('"$@" > /dev/full', ['lst'])
    expect([code, err]).toEqual([2, expect.stringMatching(/^waybill: unknown command "lst"/)])
  })

  onlyLong(() => {
    test('is quiet when its reader stops reading', async ({ lab }) => {
      const { url } = await filled(lab)
      const line = '{ "$@"; echo "code $?" >&2; } | exec true'
      expect(await waybillInShell(line, ['ls', '--store', url])).toEqual({ code: 0, out: '', err: 'code 0\n' })
    })
  })()
})

/** The one line with which a command is refused. */
async function refusalOf(args: readonly string[], exitCode: number): Promise<string> {
  const { code, out, err } = await waybill(args)
  expect([code, out, lines(err).length]).toEqual([exitCode, '', 1])
  expect(err).not.toContain('s3cr3t')
  return err.trimEnd()
}

describe('waybill ls', () => {
  test('lists the operations of all owners, newest first, with their details', async ({ lab }) => {
    const { url } = await filled(lab)
    const { code, out } = await waybill(['ls'], { WAYBILL_STORE: url })
    expect(code).toBe(0)
    const rows = lines(out).map(line => line.split(/ {2,}/))
    expect(rows[0]).toEqual(['ID', 'TYPE', 'OWNER', 'STATUS', 'ATTEMPT', 'CREATED', 'ENGINE', 'EXECUTION', 'NOTE'])
    expect(rows.slice(1).map(([id]) => id)).toEqual([4, 3, 2, 1].map(idOf))
    expect(out).toMatch(/orders +failed +2\/3 +\S+Z +- +- +No apples left\./)
    expect(out).toMatch(/orders +bob +running +1\/3 +\S+Z +container-apps +orders-job-7f3 +50 % packing$/m)
    expect(out).not.toContain(SECRET)
  })

  test.for([
    [
      ['--type', 'orders'],
      [4, 3, 2],
    ],
    [['--owner', 'ann'], [1]],
    [['--status', 'running'], [3]],
    [['--status', 'running', '--owner', 'ann'], []],
    [['--status', 'failed', '--type', 'orders'], [2]],
    [
      ['--limit', '2'],
      [4, 3],
    ],
    [
      ['--after', idOf(3)],
      [2, 1],
    ],
  ] as const)('%j lists %j', async ([args, numbers], { lab }) => {
    const { url } = await filled(lab)
    const { out } = await waybill(['ls', '--store', url, '--json', ...args])
    expect(
      out
        .split('\n')
        .filter(Boolean)
        .map(line => JSON.parse(line).id),
    ).toEqual(numbers.map(idOf))
  })

  test('prints each record as a line of JSON, without payloads', async ({ lab }) => {
    const { url, operations } = await filled(lab)
    const { out } = await waybill(['ls', '--store', url, '--json'])
    expect(lines(out).map(line => JSON.parse(line))).toEqual(operations)
    expect(out).not.toContain(SECRET)
  })
})

describe('waybill show', () => {
  test('shows every attempt, with its engine, its execution, its holder and why it ended', async ({ lab }) => {
    const { url } = await filled(lab)
    const { code, out } = await waybill(['show', idOf(2), '--store', url])
    expect(code).toBe(0)
    expect(out).toMatch(/^status +failed$/m)
    expect(out).toMatch(
      /#1 +\S+Z +0 ms +lost +container-apps +orders-job-7f3 +host-a\/1\/x +Its process was ended by SIGKILL\./,
    )
    expect(out).toMatch(/#2 +\S+Z +0 ms +failed +- +- +host-a\/1\/x +No apples left\./)
  })

  test('shows steps by their names, the end of the log, and neither input nor output', async ({ lab }) => {
    const { url } = await filled(lab)
    const { out } = await waybill(['show', idOf(1), '--store', url, '--log', '2'])
    expect(out).toMatch(/^Steps\n {2}charge$/m)
    expect(out).toMatch(/Log\n {2}\S+Z {2}#1 {2}info {2}\[31mtwo\n {2}\S+Z {2}#1 {2}info {2}three\n$/)
    expect(out).not.toContain('\u001b')
    expect(out).not.toContain(SECRET)
    expect(out).toMatch(/^engine +container-apps\nexecution +orders-job-7f3$/m)
    expect(out).toMatch(/#1 +\S+Z +1\.5 s +completed/)
  })

  test('shows payloads with --payloads', async ({ lab }) => {
    const { url } = await filled(lab)
    const { out } = await waybill(['show', '--payloads', idOf(1), '--store', url])
    for (const title of ['Input', 'Output', 'Step values']) expect(out).toContain(`${title}\n`)
    expect(out.split(SECRET)).toHaveLength(4)
  })

  test('prints the same as JSON, including the running attempt', async ({ lab }) => {
    const { url, operations } = await filled(lab)
    const shown = JSON.parse((await waybill(['show', idOf(3), '--json', '--store', url])).out)
    expect(shown).toEqual({
      operation: operations.find(({ id }) => id === idOf(3)),
      children: null,
      attempts: [
        {
          number: 1,
          holder: by.holder,
          execution: by.execution,
          engine: by.engine,
          outcome: 'running',
          startedAt: expect.any(Number),
        },
      ],
      waits: [],
      steps: [],
      log: [],
      errors: [],
    })
    const { payloads } = JSON.parse((await waybill(['show', idOf(1), '--json', '--payloads', '--store', url])).out)
    const text = JSON.stringify(SECRET)
    expect(payloads).toEqual({ input: text, output: text, steps: { charge: text } })
  })

  test('shows the errors of attempts with stack and cause, which ls shortens and no record contains', async ({
    lab,
  }) => {
    const path = lab.file()
    const store = sqliteStore({ path, synchronous: 'NORMAL' })
    await store.open()
    await begun(store, 1)
    const thrown = new TypeError('boom \u001b[31m', {
      cause: Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }),
    })
    const outcome = { kind: 'failed', problem: problem('operation-failed'), error: describeError(thrown) } as const
    await finish(store, 1, 1, outcome)
    expect(JSON.stringify(await store.read(idOf(1)))).not.toContain('boom')
    await store.close()
    const { out } = await waybill(['show', idOf(1), '--store', `sqlite:${path}`])
    expect(out).toMatch(/#1 .* failed .* TypeError: boom +\[31m$/m)
    expect(out).toMatch(/^Errors\n {2}#1 {2}TypeError: boom +\[31m\n {10}at .*cli\.test\.ts/m)
    expect(out).toMatch(/^ {6}caused by Error: refused$/m)
    expect(out).toContain('code: ECONNREFUSED')
    expect((await waybill(['ls', '--store', `sqlite:${path}`])).out).toMatch(/failed .* TypeError: boom +\[31m$/m)
  })

  test('reports an unknown operation', async ({ lab }) => {
    const { url } = await filled(lab)
    const { code, err } = await waybill(['show', idOf(9), '--store', url])
    expect([code, err]).toEqual([1, `waybill show: There is no operation ${idOf(9)} in ${url}.\n`])
  })
})

describe('waybill emulate', () => {
  const ENGINES = [
    ['kubernetes', 'KUBECONFIG'],
    ['azure', 'AZURE_RESOURCE_MANAGER'],
  ] as const

  test.for(ENGINES.slice(0, atLength(1, undefined)))(
    'starts %s, prints the environment to set, and ends at a signal',
    async ([engine, variable]) => {
      const { child, writes, ended } = startWaybill([
        'emulate',
        engine,
        '--env',
        'A=b',
        '--',
        'node',
        'job.ts',
        '--help',
      ])
      await writes(`export ${variable}='`)
      child.kill('SIGTERM')
      expect(await ended).toMatchObject({ code: 0, err: '' })
    },
  )
})

describe('waybill migrate', () => {
  test('creates the schema, and reports when nothing is to be done', async ({ lab }) => {
    const url = `sqlite:${lab.file()}`
    expect(await waybill(['migrate', '--store', url])).toEqual({ code: 0, out: `${url} was migrated.\n`, err: '' })
    expect((await waybill(['migrate', '--store', url])).out).toBe(`${url} already had the schema of this version.\n`)
    expect((await waybill(['migrate', '--plan', '--store', url])).out).toBe('-- Nothing to migrate.\n')
  })

  test('prints the SQL of the migration, and changes nothing', async ({ lab }) => {
    const path = lab.file()
    const { out } = await waybill(['migrate', '--plan', '--store', `sqlite:${path}`])
    expect(existsSync(path)).toBe(false)
    const database = new DatabaseSync(path)
    database.exec(out)
    database.close()
    const { mtimeMs } = statSync(path)
    expect((await waybill(['migrate', '--plan', '--store', `sqlite:${path}`])).out).toBe('-- Nothing to migrate.\n')
    expect(statSync(path).mtimeMs).toBe(mtimeMs)
    await (await lab.store(path)).accept(submissionOf(idOf(1)))
  })
})
