#!/usr/bin/env node
/** The `waybill` command: work, run, look, migrate, copy, back up, emulate. `waybill help` lists what there is. */
import { fail, runCommandLine } from './command-line.ts'
import { unwritten, whenWritten } from './output.ts'

process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(codeOf(error, 0)))
const code = await runCommandLine(process.argv.slice(2))
// What handler files have opened must not keep the process; what was written must have left it.
whenWritten(error => process.exit(error ? codeOf(error, code) : code))

/** The exit code where the output has failed. */
function codeOf(error: NodeJS.ErrnoException, code: number): number {
  // Whoever reads only the beginning, as `head` does, has had enough.
  return error.code === 'EPIPE' ? code : fail(`waybill: ${unwritten(error).message}`, 1)
}
