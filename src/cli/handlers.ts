/** The handler files that a command is given: what they serve is known from their handlers. */

import type { AnyOperationType } from '../model/operation-type.ts'
import { fileUrl, loadHandlers } from '../worker/handlers.ts'
import { type Given, UsageError } from './command.ts'

/** Options of commands that run handlers. */
export const HANDLER_OPTIONS = {
  handlers: { value: 'FILE', multiple: true, help: 'a handler file, as the operands are' },
  run: { value: 'MODE', help: 'children: in processes of their own, the default; inline: in this one' },
} as const

/** Handlers that were named. */
export interface NamedHandlers {
  /** URLs. */
  readonly files: readonly string[]
  readonly types: readonly AnyOperationType[]
  readonly run: 'children' | 'inline'
}

/** Loads what the operands and `--handlers` name. */
export async function namedHandlers(given: Given): Promise<NamedHandlers> {
  const files = [...given.operands, ...given.texts('handlers')].map(fileUrl)
  if (files.length === 0) throw new UsageError('No handler file is named: say which, such as ./processor.ts.')
  const run = given.oneOf('run', ['children', 'inline']) ?? 'children'
  const handlers = await loadHandlers(files)
  return { files, types: [...handlers.values()].map(({ type }) => type), run }
}
