/** `waybill dev`: runs a server with a readable log, and restarts it after each change of its files. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, watch } from 'node:fs'
import { dirname, relative, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { styleText } from 'node:util'
import { logEntry } from '../util/logger.ts'
import { type Command, JSON_LINES_OPTION, type ParsedArgs, UsageError } from './command.ts'
import { print, printEntry } from './output.ts'
import { PrettyLog } from './pretty-log.ts'
import { stopSignal } from './signals.ts'

const DEFAULT_FILES = ['src/server.ts', 'server.ts', 'src/index.ts', 'index.ts']
/** Editors save several files at once, and some write a file twice. */
const SETTLE_MS = 100

export const dev: Command = {
  name: 'dev',
  operands: '[FILE]',
  count: { max: 1 },
  summary: 'run a server with a readable log, and restart it when a file in its folder changes',
  options: {
    watch: { value: 'FOLDER', multiple: true, help: 'another folder to watch' },
    raw: { help: 'print the log as the server writes it' },
    ...JSON_LINES_OPTION,
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
  const screen = screenOf(given)
  while (!stop.aborted) {
    const ended = await runUntilChange(file, screen, changes)
    if (ended !== undefined && !stop.aborted) {
      screen.say(`The server has ended with exit code ${ended.code}. Waiting for a change.`)
      await changes.next()
    }
    if (!stop.aborted) screen.say(`${changes.last} has changed. Starting again.`)
  }
  return 0
}

/** Runs the server, and stops it at the next change. Returns the exit code if it ends before. */
async function runUntilChange(
  file: string,
  screen: Screen,
  changes: Changes,
): Promise<{ code: number | null } | undefined> {
  const server = start(file, screen)
  const ended = once(server, 'exit').then(([code]) => ({ code: code as number | null }))
  const end = await Promise.race([changes.next(), ended])
  if (end !== undefined && 'code' in end) return end
  server.kill('SIGTERM')
  await ended
  return undefined
}

/** Shows the log, and the messages of this command. */
interface Screen {
  /** The output for a line of the server; undefined for none. */
  readonly show: (line: string) => string | undefined
  readonly say: (message: string) => void
}

function screenOf(given: ParsedArgs): Screen {
  if (given.has('json')) return { show: asJson, say: message => printEntry('info', {}, message) }
  const log = new PrettyLog()
  const show = given.has('raw') ? (line: string) => line : (line: string) => log.line(line)
  return { show, say: message => print(styleText('cyan', message)) }
}

/** A line of a JSON log stays unchanged; any other line becomes the message of an entry. */
function asJson(line: string): string {
  try {
    if (line.startsWith('{')) return JSON.stringify(JSON.parse(line))
  } catch {
    // Not JSON.
  }
  return JSON.stringify(logEntry('info', {}, line))
}

/** Starts the server, and shows its log. */
function start(file: string, screen: Screen): ChildProcess {
  // Node writes a line where a file that may be missing is missing.
  const args = [...(existsSync('.env') ? ['--env-file=.env'] : []), file]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  printLines(child.stdout, screen)
  printLines(child.stderr, screen)
  return child
}

function printLines(stream: Readable, { show, say }: Screen): void {
  createInterface(stream).on('line', line => {
    const shown = show(line)
    if (shown !== undefined) print(shown)
    const [origin] = /https?:\/\/[^/\s"]+(?=\/docs)/.exec(line) ?? []
    if (origin !== undefined) findConsole(origin, say).catch(() => {})
  })
}

async function findConsole(origin: string, say: Screen['say']): Promise<void> {
  const { ok } = await fetch(`${origin}/console`, { method: 'HEAD' })
  if (ok) say(`The console is at ${origin}/console.`)
}

/** Watches the files in folders, except for installed packages and data. */
class Changes {
  #wake = Promise.withResolvers<void>()
  /** The file that changed last, relative to the working directory. */
  last = ''

  constructor(folders: readonly string[], stop: AbortSignal) {
    stop.addEventListener('abort', () => this.#wake.resolve(), { once: true })
    for (const folder of folders) {
      const watcher = watch(folder, { recursive: true, signal: stop })
      watcher.on('change', (_, name) => this.#changed(resolve(folder, String(name))))
      watcher.on('error', () => {})
    }
  }

  /** Resolves after the next change, when no other change follows shortly; or at the stop. */
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
