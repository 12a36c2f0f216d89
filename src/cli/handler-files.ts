/** Loads the handler files of a command. Their handlers define the operation types. */

import type { AnyOperationType } from '../model/operation-type.ts'
import { fileUrl, loadHandlers } from '../worker/handlers.ts'
import { type ParsedArgs, UsageError } from './command.ts'

/** Options of commands that run handlers. */
export const HANDLER_OPTIONS = {
  handlers: { value: 'FILE', multiple: true, help: 'handler file, the same as an operand' },
  run: {
    value: 'MODE',
    help: 'where handlers run: in child processes (children, the default) or in this process (inline)',
  },
} as const

/** The handlers of a command. */
export interface NamedHandlers {
  /** URLs. */
  readonly files: readonly string[]
  readonly types: readonly AnyOperationType[]
  readonly run: 'children' | 'inline'
}

/** Loads handler files: by default those of the operands and of `--handlers`. */
export async function namedHandlers(
  given: ParsedArgs,
  named: readonly string[] = [...given.operands, ...given.texts('handlers')],
): Promise<NamedHandlers> {
  const files = named.map(fileUrl)
  if (files.length === 0) throw new UsageError('No handler file is given: name one, such as ./processor.ts.')
  const run = given.oneOf('run', ['children', 'inline']) ?? 'children'
  const handlers = await loadHandlers(files)
  return { files, types: [...handlers.values()].map(({ type }) => type), run }
}
