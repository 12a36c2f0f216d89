/** Generates the help from the table of commands. */
import type { Command } from './command.ts'
import { EXIT_CODES } from './exit-codes.ts'
import { columns } from './output.ts'

const CODES = Object.entries(EXIT_CODES).map(([code, meaning]) => `${code} ${meaning}`)

/** The output of `waybill help`. */
export function overview(commands: readonly Command[]): string {
  const lines = columns(
    commands.map(({ name, operands, summary }) => [`  ${[name, operands].filter(Boolean).join(' ')}`, summary]),
  )
  return [
    'Usage: waybill <command>',
    '',
    ...lines,
    '',
    'Run waybill help <command> to list its options.',
    `Exit codes: ${CODES.join(', ')}.`,
  ].join('\n')
}

/** The output of `waybill help <command>`. */
export function helpOf({ name, operands, summary, options, examples, notes = [] }: Command): string {
  const lines = columns(
    Object.entries(options).map(([option, { value, help, multiple }]) => [
      `  --${[option, value].filter(Boolean).join(' ')}`,
      multiple ? `${help}; may be repeated` : help,
    ]),
  )
  const hasOptions = lines.length > 0
  const usage = ['waybill', name, hasOptions && '[options]', operands].filter(Boolean).join(' ')
  const sentence = `${summary[0]?.toUpperCase()}${summary.slice(1)}.`
  const shown = examples.map(example => `  ${example}`)
  return [
    `Usage: ${usage}`,
    '',
    sentence,
    ...(hasOptions ? ['', ...lines] : []),
    ...notes.flatMap(note => ['', note]),
    '',
    'Examples:',
    ...shown,
  ].join('\n')
}
