/** `waybill dev`: runs a server, and again after each change of its files, with a log for people. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, watch } from 'node:fs'
import { dirname, relative, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { styleText } from 'node:util'
import { type Command, type ParsedArgs, UsageError } from './command.ts'
import { print } from './output.ts'
import { PrettyLog } from './pretty-log.ts'
import { stopSignal } from './signals.ts'

const DEFAULT_FILES = ['src/server.ts', 'server.ts', 'src/index.ts', 'index.ts']
/** Editors save several files at once, and some write a file twice. */
const SETTLE_MS = 100

export const dev: Command = {
  name: 'dev',
  operands: '[FILE]',
  count: { max: 1 },
  summary: 'run a server, and again after each change of a file beside it or below, with a readable log',
  options: {
    watch: { value: 'FOLDER', multiple: true, help: 'another folder whose changes count' },
    raw: { help: 'leave the log as the server writes it' },
  },
  examples: ['waybill dev', 'waybill dev ./server.ts --watch ./shared'],
  run: runDev,
}

async function runDev(given: ParsedArgs): Promise<number> {
  const file = resolve(given.operands[0] ?? DEFAULT_FILES.find(it => existsSync(it)) ?? '')
  if (!/\.\w+$/.test(file) || !existsSync(file)) {
    throw new UsageError(
      `Name the file of the server: waybill dev ./server.ts. There is no ${DEFAULT_FILES.join(', ')} here.`,
    )
  }
  const stop = stopSignal()
  const changes = new Changes([dirname(file), ...given.texts('watch')], stop)
  const log = new PrettyLog()
  const show = given.has('raw') ? (line: string) => line : (line: string) => log.line(line)
  while (!stop.aborted) {
    const server = start(file, show)
    const ended = once(server, 'exit').then(([code]) => ({ code: code as number | null }))
    const end = await Promise.race([changes.next(), ended])
    if (end !== undefined && 'code' in end) {
      if (stop.aborted) break
      say(`The server has ended with exit code ${end.code}. Waiting for a change.`)
      await changes.next()
    } else server.kill('SIGTERM')
    await ended
    if (!stop.aborted) say(`${changes.last} has changed. Starting again.`)
  }
  return 0
}

/** What is shown of a line of the log; undefined for nothing. */
type ShowLine = (line: string) => string | undefined

/** Starts the server, and shows its log. */
function start(file: string, show: ShowLine): ChildProcess {
  const args = ['--env-file-if-exists=.env', file]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  printLines(child.stdout, show)
  printLines(child.stderr, show)
  return child
}

function printLines(stream: Readable, show: ShowLine): void {
  createInterface(stream).on('line', line => {
    const shown = show(line)
    if (shown !== undefined) print(shown)
    const [origin] = /https?:\/\/[^/\s"]+(?=\/docs)/.exec(line) ?? []
    if (origin !== undefined) showConsole(origin).catch(() => {})
  })
}

async function showConsole(origin: string): Promise<void> {
  const { ok } = await fetch(`${origin}/console`, { method: 'HEAD' })
  if (ok) say(`The console is at ${origin}/console.`)
}

function say(line: string): void {
  print(styleText('cyan', line))
}

/** Changes of files in folders, installed packages and data left out. */
class Changes {
  #wake = Promise.withResolvers<void>()
  /** The file that has changed last, from the working directory. */
  last = ''

  constructor(folders: readonly string[], stop: AbortSignal) {
    stop.addEventListener('abort', () => this.#wake.resolve(), { once: true })
    for (const folder of folders) {
      const watcher = watch(folder, { recursive: true, signal: stop })
      watcher.on('change', (_, name) => this.#changed(resolve(folder, String(name))))
      watcher.on('error', () => {})
    }
  }

  /** Resolves after the next change, once no other follows at once; and at the stop. */
  async next(): Promise<undefined> {
    await this.#wake.promise
    await sleep(SETTLE_MS)
    this.#wake = Promise.withResolvers()
    return undefined
  }

  #changed(path: string): void {
    const name = relative(process.cwd(), path)
    if (/(?:^|[\\/])(?:node_modules|data|\.git)(?:[\\/]|$)|~$|\.(?:db|db-wal|db-shm|swp|tmp)$/.test(name)) return
    this.last = name
    this.#wake.resolve()
  }
}
