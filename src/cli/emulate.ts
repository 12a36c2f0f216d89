/** `waybill emulate`: runs an engine on this machine. The application finds it through environment variables. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Command, JSON_LINES_OPTION, type ParsedArgs, UsageError } from './command.ts'
import { print, printEntry } from './output.ts'
import { aborted, stopSignal } from './signals.ts'

export const emulate: Command = {
  name: 'emulate',
  operands: 'azure|kubernetes -- PROGRAM [ARGUMENT...]',
  count: { min: 1, max: Number.POSITIVE_INFINITY },
  summary: 'emulate Azure or Kubernetes on this machine; each execution runs the program',
  options: {
    job: { value: 'NAME', help: 'azure: name of the Container Apps Job (default orders-job)' },
    image: { value: 'NAME', help: 'kubernetes: name of the image that runs the program (default orders)' },
    env: {
      value: 'NAME[=VALUE]',
      multiple: true,
      help: 'environment variable for the executions; without =VALUE, its value in this process',
    },
    port: { value: 'N', help: 'port to listen on (default: a free port)' },
    parallel: { value: 'N', help: 'azure: how many executions run at once (default 16)' },
    'cold-start': { value: 'TIME', help: 'azure: delay between a start and its process (default 0s)' },
    ...JSON_LINES_OPTION,
  },
  examples: [
    'waybill emulate azure --job orders-job -- node job.ts',
    'waybill emulate kubernetes --image orders -- node job.ts',
  ],
  run: runEmulate,
}

/** A running emulator. */
interface Engine {
  /** Environment variables for the application that starts executions on it. */
  readonly environment: Readonly<Record<string, string>>
  close(): Promise<void>
}

const ENGINES: Readonly<Record<string, (given: ParsedArgs, program: readonly string[]) => Promise<Engine>>> = {
  azure: startAzure,
  kubernetes: startKubernetes,
}

async function runEmulate(given: ParsedArgs): Promise<number> {
  const [name = '', ...program] = given.operands
  const start = Object.hasOwn(ENGINES, name) ? ENGINES[name] : undefined
  if (start === undefined) {
    throw new UsageError(`Cannot emulate "${name}": use ${Object.keys(ENGINES).join(' or ')}.`)
  }
  if (program.length === 0)
    throw new UsageError(`The program of the executions is missing: waybill emulate ${name} -- node job.ts.`)
  const stop = stopSignal()
  const engine = await start(given, program)
  if (given.has('json')) printEntry('info', { engine: name, environment: engine.environment }, 'The engine has started')
  else printExports(engine.environment)
  await aborted(stop)
  await engine.close()
  return 0
}

/** Prints the variables as a shell reads them. */
function printExports(environment: Engine['environment']): void {
  print('# Set these for the application. Press Ctrl-C or send SIGTERM to stop.')
  for (const [variable, value] of Object.entries(environment)) print(`export ${variable}=${quoted(value)}`)
}

async function startAzure(given: ParsedArgs, command: readonly string[]): Promise<Engine> {
  const { emulateAzure } = await import('../emulators/azure/azure.ts')
  const [port, coldStart] = [portOf(given), given.duration('cold-start')]
  const parallel = given.whole('parallel', { min: 1, max: 10_000 })
  return await emulateAzure({
    jobs: [{ name: given.text('job') ?? 'orders-job', command, env: environmentOf(given) }],
    port,
    coldStart,
    parallel,
  })
}

async function startKubernetes(given: ParsedArgs, entrypoint: readonly string[]): Promise<Engine> {
  const { emulateKubernetes } = await import('../emulators/kubernetes/kubernetes.ts')
  const port = portOf(given)
  const image = { entrypoint, env: environmentOf(given), workingDir: process.cwd() }
  const emulator = await emulateKubernetes({
    images: { [given.text('image') ?? 'orders']: image },
    port,
  })
  const folder = mkdtempSync(join(tmpdir(), 'waybill-kubernetes-'))
  const file = join(folder, 'config')
  writeFileSync(file, emulator.kubeconfig(), { mode: 0o600 })
  return {
    environment: { KUBECONFIG: file },
    close: async () => {
      await emulator.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

function portOf(given: ParsedArgs): number | undefined {
  return given.whole('port', { min: 0, max: 65_535 })
}

function environmentOf(given: ParsedArgs): Record<string, string> {
  return Object.fromEntries(
    given.texts('env').map(text => {
      const [, name = text, value] = /^([^=]+)=(.*)$/s.exec(text) ?? []
      return [name, value ?? process.env[name] ?? '']
    }),
  )
}

/** Quotes a value for the shell. */
function quoted(value: string): string {
  return `'${value.replaceAll("'", "'\\''")}'`
}
