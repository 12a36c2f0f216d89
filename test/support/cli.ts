/** Runs the `waybill` command: as people do, as a process of its own, or quicker, in the process of the test. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { onTestFinished, vi } from 'vitest'
import { runCommandLine } from '../../src/cli/command-line.ts'

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))

/** What the tests themselves may be run with. */
const UNSET = { WAYBILL_STORE: undefined, WAYBILL_BLOBS: undefined, WAYBILL_OPERATION_ID: undefined }

/** What became of a command. */
export interface Ended {
  readonly code: number | null
  /** What it wrote to standard output. */
  readonly out: string
  /** What it wrote to standard error. */
  readonly err: string
}

/** A command that runs. */
export interface RunningCommand {
  readonly child: ChildProcess
  /** Resolves with its output when that holds the text. */
  writes(text: string): Promise<string>
  readonly ended: Promise<Ended>
}

type Environment = Readonly<Record<string, string | undefined>>

/** Starts a command; it is ended with the test. */
export function startWaybill(args: readonly string[], env: Environment = {}): RunningCommand {
  return start([process.execPath, MAIN, ...args], env)
}

function start([program = '', ...args]: readonly string[], env: Environment): RunningCommand {
  const child = spawn(program, args, {
    env: { ...process.env, ...UNSET, NODE_NO_WARNINGS: '1', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const text = { out: '', err: '' }
  child.stdout.setEncoding('utf8').on('data', data => {
    text.out += data
  })
  child.stderr.setEncoding('utf8').on('data', data => {
    text.err += data
  })
  const ended = once(child, 'close').then(([code]): Ended => ({ code, ...text }))
  onTestFinished(async () => {
    child.kill('SIGKILL')
    await ended
  })
  const writes = async (wanted: string) => {
    while (!text.out.includes(wanted)) {
      await Promise.race([
        once(child.stdout, 'data'),
        ended.then(({ err }) => Promise.reject(new Error(`It ended: ${err}`))),
      ])
    }
    return text.out
  }
  return { child, writes, ended }
}

/** Runs a command to its end. */
export async function waybillProcess(args: readonly string[], env: Environment = {}): Promise<Ended> {
  return await startWaybill(args, env).ended
}

/** What `waybill copy` tells each ten seconds, which is never on a fast machine. */
const PROGRESS = /^\d+ operations, \d+ blobs\n/gm

/** What Node 22 says of its SQLite, once in a process or thread. */
const SQLITE_WARNING = /^\(node:\d+\) ExperimentalWarning: SQLite .*\n(?:\(Use `node .*\n)?/gm

let previous: Promise<unknown> = Promise.resolve()

/** Runs a command to its end in the process of the test, one at a time: for those that listen to no signal. */
export async function waybill(args: readonly string[], env: Environment = {}): Promise<Ended> {
  const ended = previous.then(() => runHere(args, env))
  previous = ended.catch(() => {})
  return await ended
}

async function runHere(args: readonly string[], env: Environment): Promise<Ended> {
  const [out, err] = [captured(process.stdout), captured(process.stderr)]
  for (const [name, value] of Object.entries({ ...UNSET, ...env })) vi.stubEnv(name, value)
  try {
    const code = await runCommandLine(args)
    return { code, out: out.text(), err: err.text().replaceAll(PROGRESS, '').replaceAll(SQLITE_WARNING, '') }
  } finally {
    vi.unstubAllEnvs()
    out.release()
    err.release()
  }
}

/** Takes what is written to a stream of this process. */
function captured(stream: NodeJS.WriteStream): { text(): string; release(): void } {
  let text = ''
  const spy = vi.spyOn(stream, 'write').mockImplementation(written => {
    text += written
    return true
  })
  return { text: () => text, release: () => spy.mockRestore() }
}

/** Runs a line of the shell, in which `"$@"` is the command. */
export async function waybillInShell(line: string, args: readonly string[]): Promise<Ended> {
  return await start(['sh', '-c', line, 'sh', process.execPath, MAIN, ...args], {}).ended
}
