/** Starts the example, or another program of that kind, as a process of its own, as people do. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { npm } from '../../scripts/tools.ts'

export const EXAMPLE = new URL('../../examples/orders/api.ts', import.meta.url).pathname

/** The exit of a process. */
export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** A running program. */
export interface App {
  readonly url: string
  readonly pid: number
  readonly exited: Promise<Exit>
  /** What it has written so far. */
  output(): string
  /** Sends it a signal, and waits for its end. */
  stop(signal?: NodeJS.Signals): Promise<Exit>
  /** Ends it and every process of its group at once, without a word. */
  killGroup(): Promise<Exit>
}

/** How a program is started. */
export interface AppOptions {
  /** The SQLite file. */
  readonly file: string
  readonly entry?: string
  /** Whether it is the example by `npm start`, without the build before it. */
  readonly byNpm?: boolean
  readonly env?: Readonly<Record<string, string>>
}

/** A folder that is deleted when the test has ended. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'waybill-test-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true, maxRetries: 10 }))
  return folder
}

/** Starts a program on a free port as the head of a process group, and resolves when it takes requests. */
export async function startApp(options: AppOptions): Promise<App> {
  const command = options.byNpm ? [...npm(), 'start', '--ignore-scripts'] : [process.execPath, options.entry ?? EXAMPLE]
  const { child, pid, output, exited } = launch(command, {
    PORT: '0',
    ORDER_PROCESSING_MS: '0',
    WAYBILL_STORE: `sqlite:${options.file}`,
    ...options.env,
  })
  const url = await firstUrl(child, output)
  return {
    url,
    pid,
    exited,
    output,
    stop: async (signal = 'SIGTERM') => {
      child.kill(signal)
      return await exited
    },
    killGroup: async () => {
      killGroup(pid)
      return await exited
    },
  }
}

/** Runs a program that is expected to end by itself. */
export async function runToEnd(entry: string, env: Readonly<Record<string, string>>): Promise<Exit & { text: string }> {
  const { output, exited } = launch([process.execPath, entry], env)
  const exit = await exited
  return { ...exit, text: output() }
}

function launch([program = '', ...args]: readonly string[], env: Readonly<Record<string, string>>) {
  const child = spawn(program, args, {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  let text = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (data: string) => {
      text += data
    })
  }
  // "exit" and not "close": processes that outlive it hold its pipes open.
  const exited = once(child, 'exit').then(([code, signal]): Exit => ({ code, signal }))
  const pid = child.pid ?? 0
  onTestFinished(async () => {
    killGroup(pid)
    await exited
  })
  return { child, pid, output: () => text, exited }
}

/** The URL in the first line that has one. */
function firstUrl(child: ChildProcess, output: () => string): Promise<string> {
  return new Promise((resolve, reject) => {
    const look = () => {
      const url = /http:\/\/[\w.[\]:-]+:\d+/.exec(output())?.[0]
      if (url !== undefined) resolve(url)
    }
    child.stdout?.on('data', look)
    child.once('exit', code =>
      reject(new Error(`The program ended with ${code} before it took requests:\n${output()}`)),
    )
  })
}

/** Ends every process of a group; one that is gone already is not an error. */
function killGroup(leader: number): void {
  try {
    process.kill(-leader, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
