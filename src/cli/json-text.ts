/** Reads the JSON texts of arguments. */
import { readFileSync } from 'node:fs'
import { UsageError } from './command.ts'

/** The text itself, that of a file for `@FILE`, or standard input for `-`. */
function readText(text: string): string {
  if (text === '-') return readFileSync(0, 'utf8')
  return text.startsWith('@') ? readFileSync(text.slice(1), 'utf8') : text
}

/**
 * The same, which must be JSON.
 *
 * @param what how an error names the argument, such as `--data`; default the text
 */
export function readJson(argument: string, what: string = JSON.stringify(argument)): string {
  const text = readText(argument)
  try {
    JSON.parse(text)
    return text
  } catch (error) {
    throw new UsageError(`${what} is not JSON: ${(error as Error).message}. A string needs quotes: '"yes"'.`)
  }
}
