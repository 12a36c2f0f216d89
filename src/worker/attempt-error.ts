/** What a handler threw, as plain data that crosses processes and is kept with its attempt. */
import type { AttemptError } from '../model/operation.ts'
import { cutToJsonBytes, readMember, toPlainJson } from '../util/plain-json.ts'

/** The most bytes of an error as JSON, its causes included. */
const MAX_ERROR_BYTES: number = 8192

/** How many causes are followed. Each may take half the bytes of the error it caused. */
const MAX_CAUSES = 4

/** Describes whatever was thrown, and never throws itself. */
export function describeError(thrown: unknown): AttemptError {
  return describe(thrown, MAX_ERROR_BYTES / 2, MAX_CAUSES)
}

function describe(thrown: unknown, room: number, causes: number): AttemptError {
  if (typeof thrown !== 'object' || thrown === null) {
    return { name: 'Error', message: cut(`A handler threw ${typeof thrown}: ${shown(thrown)}`, room * 0.3) }
  }
  const text = (name: string, part: number) => {
    const value = readMember(thrown, name)
    return typeof value === 'string' && value !== '' ? cut(value, room * part) : undefined
  }
  const [code, stack] = [text('code', 0.03), text('stack', 0.55)]
  const cause = causes > 0 ? causeOf(thrown) : undefined
  return {
    name: text('name', 0.05) ?? 'Error',
    message: text('message', 0.3) ?? cut(shown(thrown), room * 0.3),
    ...(code !== undefined && { code }),
    ...(stack !== undefined && { stack }),
    ...(cause !== undefined && { cause: describe(cause, room / 2, causes - 1) }),
  }
}

/**
 * Of an error that holds several, only the first is described. A connection refused at two addresses is such an error.
 */
function causeOf(thrown: object): unknown {
  const errors = readMember(thrown, 'errors')
  return readMember(thrown, 'cause') ?? (Array.isArray(errors) ? errors[0] : undefined)
}

function shown(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(toPlainJson(value, 2000)) ?? typeof value)
}

function cut(text: string, bytes: number): string {
  return cutToJsonBytes(text, Math.floor(bytes))
}
