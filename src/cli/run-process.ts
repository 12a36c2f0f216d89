/** Runs the command line of this process, and ends it. */
import { runCommandLine } from './command-line.ts'
import { fail, unwritten, whenWritten } from './output.ts'

/** Runs the arguments of the process. */
export async function runProcess(): Promise<void> {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(codeOf(error, 0)))
  loadEnvironment()
  const code = await runCommandLine(process.argv.slice(2))
  // Open handles of handler files must not keep the process alive, but all output must be written first.
  whenWritten(error => process.exit(error ? codeOf(error, code) : code))
}

/** Reads `.env` of the working directory, as `node --env-file` does: variables that are already set stay unchanged. */
function loadEnvironment(): void {
  try {
    process.loadEnvFile()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') fail(`waybill: .env was not read: ${error}`, 1)
  }
}

/** The exit code after writing the output has failed. */
function codeOf(error: NodeJS.ErrnoException, code: number): number {
  // A reader such as `head` closes the pipe once it has read enough.
  return error.code === 'EPIPE' ? code : fail(`waybill: ${unwritten(error).message}`, 1)
}
