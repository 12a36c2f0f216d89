/** Runs a command line: finds the command, prints its errors, and returns the exit code. */
import { UrlError } from '../from-url/urls.ts'
import { FilterError } from '../operator/filter.ts'
import { packageVersion } from '../util/version.ts'
import { readArguments, UsageError } from './command.ts'
import { COMMAND_NAMES, loadAll, loadCommand } from './commands.ts'
import { helpOf, overview } from './help.ts'
import { fail, messageOf, print } from './output.ts'

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
  if (name === undefined || name === 'help' || name === '--help' || name === '-h') return await help(args[0])
  const command = await loadCommand(name)
  if (command === undefined) return fail(unknownCommand(name), 2)
  // Arguments after "--" belong to the program named there.
  const own = args.includes('--') ? args.slice(0, args.indexOf('--')) : args
  if (own.includes('--help') || own.includes('-h')) return print(helpOf(command))
  return await command.run(readArguments(command, args))
}

async function help(name: string | undefined): Promise<number> {
  if (name === undefined) return print(overview(await loadAll()))
  const command = await loadCommand(name)
  return command === undefined ? fail(unknownCommand(name), 2) : print(helpOf(command))
}

function unknownCommand(name: string): string {
  return `waybill: unknown command "${name}". The commands are ${COMMAND_NAMES.join(', ')} and help.`
}
