/** What commands print for programs, and how they end. */
import { readFileSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect } from 'vitest'
import { root } from '../../scripts/tools.ts'
import { loadAll } from '../../src/cli/commands.ts'
import { EXIT_CODES } from '../../src/cli/exit-codes.ts'
import { MIN_NODE, nodeIsAtLeast } from '../../src/cli/node-version.ts'
import { type RunningCommand, startWaybill, waybill, waybillProcess } from '../support/cli.ts'
import { type Act, handlerFile, play } from '../support/handlers.ts'
import { onlyLong } from '../support/length.ts'
import { type TestContext, test } from '../support/waybill.ts'

const HANDLERS = fileURLToPath(handlerFile('plays'))

const jsonLines = (out: string) => {
  return out
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line) as Readonly<Record<string, unknown>>)
}

/** The command that submits an operation. */
function submitting(store: string, act: Act): string[] {
  return ['submit', 'plays', '--store', store, '--handlers', HANDLERS, '--data', JSON.stringify(play(act))]
}

/** A store with one pending operation. */
async function filled(lab: TestContext): Promise<{ store: string; path: string; id: string }> {
  const path = lab.file()
  const store = `sqlite:${path}`
  const { out } = await waybill(submitting(store, { do: 'return', value: 1 }))
  return { store, path, id: out.trim() }
}

/** The first line of a command that goes on, as JSON; then the command is stopped. */
async function firstLine({ child, writes, ended }: RunningCommand): Promise<Readonly<Record<string, unknown>>> {
  const [first = ''] = (await writes('\n')).split('\n')
  child.kill('SIGTERM')
  expect(await ended).toMatchObject({ code: 0, err: '' })
  return JSON.parse(first)
}

describe('--json', () => {
  test('is an option of every command but the one that prints a script', async () => {
    const without = (await loadAll()).filter(({ options }) => !('json' in options)).map(({ name }) => name)
    expect(without).toEqual(['completion'])
  })

  test('of work prints its log, one line for the end of each attempt', async ({ lab }) => {
    const { store, id } = await filled(lab)
    const args = ['work', HANDLERS, '--store', store, '--until-idle', '--idle', '1ms', '--run', 'inline', '--json']
    const { code, out, err } = await waybillProcess(args)
    expect([code, err]).toEqual([0, ''])
    const lines = jsonLines(out)
    expect(lines[0]).toMatchObject({ level: 'info', message: 'The worker has started', types: ['plays'], store })
    expect(lines).toContainEqual(expect.objectContaining({ operation: id, outcome: 'completed', attempt: 1 }))
    expect(lines.at(-1)).toMatchObject({ message: 'The worker has stopped' })
  })

  onlyLong(() => {
    test('of run prints its log', async ({ lab }) => {
      const { store, id } = await filled(lab)
      const { code, out } = await waybillProcess(['run', HANDLERS, '--id', id, '--store', store, '--json'])
      expect(code).toBe(0)
      const last = { level: 'info', operation: id, claimed: true, message: 'The operation was run' }
      expect(jsonLines(out).at(-1)).toMatchObject(last)
    })
  })()

  test('of commands that copy or migrate stores prints what was done', async ({ lab }) => {
    const { store, path } = await filled(lab)
    const [backup, target] = [`${path}.backup`, `sqlite:${lab.file()}`]
    const json = async (...args: string[]) => {
      const { code, out, err } = await waybill([...args, '--json'])
      expect([code, err, out.split('\n').length]).toEqual([0, '', 2])
      return JSON.parse(out)
    }
    expect(await json('migrate', '--store', store)).toEqual({ store, migrated: false, grantedTo: [] })
    expect(await json('migrate', '--store', target)).toEqual({ store: target, migrated: true, grantedTo: [] })
    const { sql } = await json('migrate', '--plan', '--store', `sqlite:${lab.file()}`)
    expect(sql).toContain('CREATE TABLE')
    expect(await json('backup', '--store', store, '--to', backup)).toEqual({ from: path, to: backup })
    const { before, ...restored } = await json('restore', '--store', store, '--from', backup)
    expect([restored, before]).toEqual([{ from: backup, to: path }, expect.stringContaining(basename(path))])
    const copied = await json('copy', '--from', store, '--to', target)
    expect(copied).toMatchObject({ written: 1, same: 0, ahead: 0, lost: 0, others: 0, different: [] })
    expect(copied.source).toEqual({
      count: 1,
      digest: expect.stringMatching(/^[0-9a-f]{64}$/),
      blobs: expect.any(Object),
    })
    expect(copied.target).toEqual(copied.source)
  })

  onlyLong(() => {
    test('of commands that run until they are stopped begins with a line', async ({ lab }) => {
      const { store } = await filled(lab)
      const top = await firstLine(startWaybill(['top', '--json', '--store', store]))
      expect(top).toMatchObject({ series: expect.any(Array), types: [{ operation: 'plays', depth: 1 }] })
      const console = await firstLine(startWaybill(['console', '--json', '--store', store]))
      expect(console).toMatchObject({ store, url: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+\/console$/) })
      const azure = await firstLine(startWaybill(['emulate', 'azure', '--json', '--', 'node', 'job.ts']))
      expect(azure).toMatchObject({ engine: 'azure', environment: expect.any(Object) })
      const server = join(dirname(lab.file()), 'server.ts')
      writeFileSync(server, 'setInterval(() => {}, 1000)\nconsole.log("up")')
      const dev = await firstLine(startWaybill(['dev', '--json', server]))
      expect(dev).toMatchObject({ level: 'info', message: 'up' })
    })
  })()

  test('of init prints the name of the project', async ({ lab }) => {
    const folder = lab.file().replace('operations.db', 'my-api')
    const { code, out } = await waybill(['init', folder, '--no-install', '--server', 'hono', '--json'])
    const project = { folder, name: 'my-api', server: 'hono', store: 'sqlite', installed: false }
    expect([code, JSON.parse(out)]).toMatchObject([0, { ...project, files: expect.arrayContaining(['src/server.ts']) }])
  })
})

describe('the exit codes', () => {
  test('are those of the reference and of the help', async () => {
    const reference = readFileSync(`${root}docs/reference/cli.md`, 'utf8')
    const rows = [...reference.matchAll(/^\| (\d+) \| ([^|]+?) \| [^|]+ \|$/gm)].map(([, code, says]) => [code, says])
    expect(rows).toEqual(Object.entries(EXIT_CODES))
    const { out } = await waybill(['help'])
    for (const [code, says] of Object.entries(EXIT_CODES)) expect(out).toContain(`${code} ${says}`)
  })

  test('tell how a command has ended, and no command exits with another code', async ({ lab }) => {
    const { store, id } = await filled(lab)
    const submit = (act: Act) => submitting(store, act)
    const worker = startWaybill(['work', HANDLERS, '--store', store, '--run', 'inline'])
    expect(await waybill([...submit({ do: 'return' }), '--wait'])).toMatchObject({ code: 0 })
    expect(await waybill([...submit({ do: 'throw', message: 'boom' }), '--wait'])).toMatchObject({ code: 3 })
    worker.child.kill('SIGTERM')
    expect(await worker.ended).toMatchObject({ code: 0 })
    expect(await waybill(['cancel', id, '--store', store])).toMatchObject({ code: 1 })
    expect(await waybill(['cancel', 'me', '--store', store])).toMatchObject({ code: 2 })
    const { out } = await waybill(submit({ do: 'return' }))
    await waybill(['cancel', out.trim(), '--store', store])
    expect(await waybill(['watch', out.trim(), '--store', store])).toMatchObject({ code: 4 })
  })
})

test('an older version of Node is refused with one line that names the required version', () => {
  const { engines } = JSON.parse(readFileSync(`${root}package.json`, 'utf8'))
  expect(engines.node).toBe(`>=${MIN_NODE}`)
  expect(nodeIsAtLeast(MIN_NODE)).toBe(true)
  const known = ['20.20.2', '22.12.0', '22.13.0', '22.13.1', '22.18.0', '24.0.0', '26.1.0']
  expect(known.filter(version => nodeIsAtLeast('22.13', version))).toEqual(known.slice(2))
})
