/** Runs a command line: finds the command, prints its errors, and returns the exit code. */
import { UrlError } from '../from-url/urls.ts'
import { FilterError } from '../operator/filter.ts'
import { packageVersion } from '../util/version.ts'
import { backup, restore } from './backup.ts'
import { check } from './check.ts'
import { type Command, readArguments, UsageError } from './command.ts'
import { completion } from './completion.ts'
import { consoleCommand } from './console.ts'
import { copy } from './copy.ts'
import { dev } from './dev.ts'
import { doctor } from './doctor.ts'
import { emulate } from './emulate.ts'
import { helpOf, overview } from './help.ts'
import { init } from './init.ts'
import { ls } from './ls.ts'
import { migrate } from './migrate.ts'
import { fail, messageOf, print } from './output.ts'
import { run } from './run.ts'
import { show } from './show.ts'
import { stats, top } from './stats.ts'
import { submit } from './submit.ts'
import { cancel, pause, remove, resume, retry } from './verbs.ts'
import { watch } from './watch.ts'
import { work } from './work.ts'

/** Every command, in the order of the help. */
const COMMANDS: readonly Command[] = [
  init,
  dev,
  work,
  run,
  submit,
  watch,
  ls,
  show,
  cancel,
  retry,
  remove,
  pause,
  resume,
  stats,
  top,
  consoleCommand,
  migrate,
  copy,
  backup,
  restore,
  emulate,
  check,
  doctor,
  completion(() => COMMANDS),
]

/** Runs the arguments after `waybill`. Returns the exit code, and writes errors to standard error. */
export async function runCommandLine([name, ...args]: readonly string[]): Promise<number> {
  try {
    return await dispatch(name, args)
  } catch (error) {
    const isTyped = [UsageError, UrlError, FilterError].some(kind => error instanceof kind)
    return fail(`waybill ${name ?? 'help'}: ${messageOf(error)}`, isTyped ? 2 : 1)
  }
}

async function dispatch(name: string | undefined, args: readonly string[]): Promise<number> {
  if (name === '--version') return print(packageVersion())
  if (name === undefined || name === 'help' || name === '--help' || name === '-h') return help(args[0])
  const command = COMMANDS.find(it => it.name === name)
  if (command === undefined) return fail(unknownCommand(name), 2)
  // Arguments after "--" belong to the program named there.
  const own = args.includes('--') ? args.slice(0, args.indexOf('--')) : args
  if (own.includes('--help') || own.includes('-h')) return print(helpOf(command))
  return await command.run(readArguments(command, args))
}

function help(name: string | undefined): number {
  const command = COMMANDS.find(it => it.name === name)
  if (name !== undefined && command === undefined) return fail(unknownCommand(name), 2)
  return print(command === undefined ? overview(COMMANDS) : helpOf(command))
}

function unknownCommand(name: string): string {
  return `waybill: unknown command "${name}". The commands are ${COMMANDS.map(it => it.name).join(', ')} and help.`
}
