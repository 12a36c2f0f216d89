import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { promisify } from 'node:util'
import { describe, expect } from 'vitest'
import { PrettyLog } from '../../src/cli/pretty-log.ts'
import { startWaybill, waybill } from '../support/cli.ts'
import { test } from '../support/waybill.ts'

describe('waybill dev', () => {
  const server = (says: string) => `
    process.once('SIGTERM', () => { console.log('bye from ${says}'); clearInterval(alive) })
    const alive = setInterval(() => {}, 1000)
    console.log(JSON.stringify({ level: 30, time: 0, pid: 1, msg: '${says}', port: 3000 }))`

  test('runs a server, restarts it after a change or a crash, and ends with it', async ({ lab }) => {
    const file = lab.file().replace('operations.db', 'server.ts')
    writeFileSync(file, server('one'))
    const { child, writes, ended } = startWaybill(['dev', file])
    await writes('one port=3000\n')
    writeFileSync(file, server('two'))
    await writes('two port=3000\n')
    writeFileSync(file, 'process.exit(7)')
    await writes('The server has ended with exit code 7. Waiting for a change.')
    writeFileSync(file, server('three'))
    await writes('three port=3000\n')
    child.kill('SIGTERM')
    const { code, out } = await ended
    expect(code).toBe(0)
    expect(out).toContain('bye from one\n')
    expect(out).toMatch(/bye from three\n$/)
  })

  test('requires a file', async () => {
    const { code, err } = await waybill(['dev', 'no-such.ts'])
    expect([code, err]).toEqual([2, expect.stringContaining('Name the file of the server')])
  })

  test.for([
    [
      '{"level":40,"time":"2026-11-29T08:00:00.000Z","msg":"Slow","id":"x","ms":3}',
      /^\d\d:00:00 warn {2}Slow id=x ms=3$/,
    ],
    [
      '{"level":"error","message":"Gone","err":{"stack":"Error: a\\n    at b"}}',
      /^error Gone\n {2}Error: a\n {2}at b$/,
    ],
    ['{"answer":42}', /^\{"answer":42\}$/],
    ['{broken', /^\{broken$/],
    ['plain text', /^plain text$/],
  ] as const)('%s is printed for people', ([line, shown]) => {
    expect(new PrettyLog().line(line)).toMatch(shown)
  })

  test('a request of Fastify is one line, and a request of the console is not printed', () => {
    const log = new PrettyLog()
    const lines = (reqId: string, url: string) =>
      [
        { level: 30, reqId, req: { method: 'GET', url }, msg: 'incoming request' },
        { level: 30, reqId, res: { statusCode: 200 }, responseTime: 9.4524, msg: 'request completed' },
      ].map(entry => log.line(JSON.stringify(entry)))
    expect(lines('req-1', '/orders/1?x=2')).toEqual([undefined, 'info  GET /orders/1?x=2 200 9 ms'])
    for (const url of ['/console', '/console/types', '/admin/events', '/api/admin/types?a=b']) {
      expect(lines('req-2', url)).toEqual([undefined, undefined])
    }
    expect(lines('req-3', '/administrators')[1]).toBe('info  GET /administrators 200 9 ms')
    const failed = { level: 50, reqId: 'req-4', err: { message: 'boom' }, msg: 'request errored' }
    expect(log.line(JSON.stringify(failed))).toBe('error request errored\n  boom')
  })
})

describe('waybill completion', () => {
  async function complete(...words: string[]): Promise<string[]> {
    const { out } = await waybill(['completion', 'bash'])
    const line = words.map(word => `'${word}'`).join(' ')
    const script = `${out}\nCOMP_WORDS=(${line}); COMP_CWORD=${words.length - 1}; _waybill; echo "\${COMPREPLY[*]}"`
    const { stdout } = await promisify(execFile)('bash', ['-c', script])
    return stdout.trim().split(' ').filter(Boolean)
  }

  test('completes commands, options and the operand of help in bash', async () => {
    expect(await complete('waybill', 'com')).toEqual(['completion'])
    expect(await complete('waybill', 'ls', '--st')).toEqual(['--store', '--status'])
    expect(await complete('waybill', 'help', 'ch')).toEqual(['check'])
    expect(await complete('waybill', 'work', './pro')).toEqual([])
  })

  test('completes every command and option in zsh and fish', async () => {
    const [zsh, fish] = [(await waybill(['completion', 'zsh'])).out, (await waybill(['completion', 'fish'])).out]
    expect(zsh).toMatch(/^#compdef waybill\n/)
    // A file of fpath is read at the first completion, which has to happen too.
    expect(zsh).toContain('if [ "$funcstack[1]" = _waybill ]; then _waybill "$@"')
    expect(zsh).toContain(`    ls) _arguments '--store=[`)
    expect(zsh).toContain(`'*--header=[`)
    expect(fish).toContain(`complete -c waybill -n __fish_use_subcommand -a check -d '`)
    expect(fish).toContain(`complete -c waybill -n '__fish_seen_subcommand_from ls' -l store -r -d '`)
    for (const script of [zsh, fish]) expect(script.split("'").length % 2).toBe(1)
    expect(await waybill(['completion', 'tcsh'])).toMatchObject({ code: 2 })
  })
})
