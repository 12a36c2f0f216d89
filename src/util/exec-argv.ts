/** The arguments for Node itself that a process hands on to those it starts. */

/**
 * Arguments that say which program runs, or how it is watched, tested or debugged. They belong to this process alone.
 */
const OWN =
  /^(-e|--eval|-p|-pe|--print|-i|--interactive|-c|--check|--run|--input-type|--(watch|test|inspect|debug-port|build-snapshot|experimental-test|experimental-sea)\b.*)(=|$)/
const EVAL = /^(-e|--eval|-pe)$/
const PRINT = /^(-p|--print)$/
const PRELOAD = /^(-r|--require|--import)(?:=(.*))?$/
/** The path or URL of a file. Packages such as `tsx` have bare names instead. */
const FILE = /^(\.|\/|[a-z]:[\\/]|(file|data):)/i

/**
 * The arguments that can be passed to another program. Code that is given on the command line (`--eval`) stays out, as
 * do `--watch`, `--test` and `--inspect`. Preloads (`--import`, `--require`) are passed on, so that a tracing SDK is
 * loaded there too. But if this process has no script, preloaded files are not passed on, since one of them may be its
 * program.
 *
 * @param execArgv default: that of this process
 * @param script the path of the script that this process runs; undefined where it has none
 */
export function inheritedExecArgv(
  execArgv: readonly string[] = process.execArgv,
  script: string | undefined = process.argv[1],
): string[] {
  const hasScript =
    script !== undefined && script !== '-' && !execArgv.some(argument => EVAL.test(argument) || PRINT.test(argument))
  return pairs(execArgv)
    .filter(([flag = '', value]) => !OWN.test(flag) && (hasScript || !isFilePreload(flag, value)))
    .flat()
}

/**
 * The arguments for a thread of this package: only those that silence warnings. A preload would run again in the
 * thread.
 */
export function threadExecArgv(execArgv: readonly string[] = process.execArgv): string[] {
  return execArgv.filter(argument => /^--(no-warnings$|disable-warning=)/.test(argument))
}

/** Pairs each flag with its value, if the value is a separate argument. */
function pairs(execArgv: readonly string[]): string[][] {
  const found: string[][] = []
  for (const argument of execArgv) {
    const last = found.at(-1)
    const isValue = last?.length === 1 && (!argument.startsWith('-') || EVAL.test(last[0] ?? ''))
    if (isValue) last?.push(argument)
    else found.push([argument])
  }
  return found
}

function isFilePreload(flag: string, value: string | undefined): boolean {
  const preload = PRELOAD.exec(flag)
  return preload !== null && FILE.test(preload[2] ?? value ?? '')
}
