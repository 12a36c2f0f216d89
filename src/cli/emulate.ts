/** `waybill emulate`: an engine on this machine, for an application that is told of it by its environment. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Command, type Given, UsageError } from './command.ts'
import { print } from './output.ts'
import { aborted, stopSignal } from './signals.ts'

export const emulate: Command = {
  name: 'emulate',
  operands: 'azure|kubernetes -- PROGRAM [ARGUMENT...]',
  count: { min: 1, max: Number.POSITIVE_INFINITY },
  summary: 'runs an engine on this machine, whose executions are processes of the program',
  options: {
    job: { value: 'NAME', help: 'azure: the name of the Container Apps Job; default orders-job' },
    image: { value: 'NAME', help: 'kubernetes: the image that the program stands for; default orders' },
    env: { value: 'NAME[=VALUE]', multiple: true, help: "what executions get; without a value, that of this process'" },
    port: { value: 'N', help: 'default: a free one' },
    parallel: { value: 'N', help: 'azure: how many executions run at once; default 16' },
    'cold-start': { value: 'TIME', help: 'azure: from a start until its process runs; default 0s' },
  },
  run: runEmulate,
}

/** An engine that runs. */
interface Engine {
  /** For the application that starts executions on it. */
  readonly environment: Readonly<Record<string, string>>
  close(): Promise<void>
}

const ENGINES: Readonly<Record<string, (given: Given, program: readonly string[]) => Promise<Engine>>> = {
  azure: startAzure,
  kubernetes: startKubernetes,
}

async function runEmulate(given: Given): Promise<number> {
  const [name = '', ...program] = given.operands
  const start = Object.hasOwn(ENGINES, name) ? ENGINES[name] : undefined
  if (start === undefined) {
    throw new UsageError(`There is no engine "${name}" to emulate: there are ${Object.keys(ENGINES).join(' and ')}.`)
  }
  if (program.length === 0) throw new UsageError(`Say what executions run: waybill emulate ${name} -- node job.ts.`)
  const stop = stopSignal()
  const engine = await start(given, program)
  print('# Give these to the application. SIGTERM or Ctrl-C stops.')
  for (const [variable, value] of Object.entries(engine.environment)) print(`export ${variable}=${quoted(value)}`)
  await aborted(stop)
  await engine.close()
  return 0
}

async function startAzure(given: Given, command: readonly string[]): Promise<Engine> {
  const { emulateAzure } = await import('../emulators/azure/azure.ts')
  const [port, coldStart] = [portOf(given), given.duration('cold-start')]
  const parallel = given.whole('parallel', { min: 1, max: 10_000 })
  return await emulateAzure({
    jobs: [{ name: given.text('job') ?? 'orders-job', command, env: environmentOf(given) }],
    ...(port !== undefined && { port }),
    ...(coldStart !== undefined && { coldStart }),
    ...(parallel !== undefined && { parallel }),
  })
}

async function startKubernetes(given: Given, entrypoint: readonly string[]): Promise<Engine> {
  const { emulateKubernetes } = await import('../emulators/kubernetes/kubernetes.ts')
  const port = portOf(given)
  const image = { entrypoint, env: environmentOf(given), workingDir: process.cwd() }
  const emulator = await emulateKubernetes({
    images: { [given.text('image') ?? 'orders']: image },
    ...(port !== undefined && { port }),
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

function portOf(given: Given): number | undefined {
  return given.whole('port', { min: 0, max: 65_535 })
}

function environmentOf(given: Given): Record<string, string> {
  return Object.fromEntries(
    given.texts('env').map(text => {
      const [, name = text, value] = /^([^=]+)=(.*)$/s.exec(text) ?? []
      return [name, value ?? process.env[name] ?? '']
    }),
  )
}

/** As a shell reads it. */
function quoted(value: string): string {
  return `'${value.replaceAll("'", "'\\''")}'`
}
