/** A line of the command: which command it names, what it prints, and its exit code. */
import { UrlError } from '../from-url/urls.ts'
import { packageVersion } from '../util/version.ts'
import { backup, restore } from './backup.ts'
import { type Command, readArguments, UsageError } from './command.ts'
import { copy } from './copy.ts'
import { emulate } from './emulate.ts'
import { helpOf, overview } from './help.ts'
import { ls } from './ls.ts'
import { migrate } from './migrate.ts'
import { print } from './output.ts'
import { run } from './run.ts'
import { show } from './show.ts'
import { work } from './work.ts'

/** Every command, in the order of the help. */
const COMMANDS: readonly Command[] = [work, run, ls, show, migrate, copy, backup, restore, emulate]

/** Runs what was typed after `waybill`. Gives the exit code; errors are written to standard error. */
export async function runCommandLine([name, ...args]: readonly string[]): Promise<number> {
  try {
    return await obey(name, args)
  } catch (error) {
    const isTyped = error instanceof UsageError || error instanceof UrlError
    return fail(`waybill ${name ?? 'help'}: ${messageOf(error)}`, isTyped ? 2 : 1)
  }
}

async function obey(name: string | undefined, args: readonly string[]): Promise<number> {
  if (name === '--version') return print(packageVersion())
  if (name === undefined || name === 'help' || name === '--help' || name === '-h') return help(args[0])
  const command = COMMANDS.find(it => it.name === name)
  if (command === undefined) return fail(unknownCommand(name), 2)
  // What stands behind "--" is for the program named there.
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
  return `waybill: there is no command "${name}"; there are ${COMMANDS.map(it => it.name).join(', ')} and help.`
}

/** Writes a line to standard error. Gives the exit code. */
export function fail(message: string, code: number): number {
  process.stderr.write(`${message}\n`)
  return code
}

/** Some errors have no message of their own, such as that of a connection that was tried in several ways. */
function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error.message !== '') return error.message
  return error instanceof AggregateError ? error.errors.map(messageOf).join(' ') : error.name
}
