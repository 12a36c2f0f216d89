/** Defines commands and parses their arguments. Every error names the argument and how to fix it. */
import { parseArgs } from 'node:util'
import { durationMs } from '../model/duration.ts'

/** An option of a command. */
interface OptionSpec {
  /** The name of its value in the help. Without it the option is a switch. */
  readonly value?: string
  /** Whether it may be given several times. */
  readonly multiple?: boolean
  readonly help: string
}

/** One command. */
export interface Command {
  readonly name: string
  /** The operands in the help. */
  readonly operands?: string
  /** How many operands the command accepts. */
  readonly count?: { readonly min?: number; readonly max?: number }
  readonly summary: string
  /** Further sentences of the help. */
  readonly notes?: readonly string[]
  /** Command lines to copy. */
  readonly examples: readonly string[]
  readonly options: Readonly<Record<string, OptionSpec>>
  /** Returns the exit code. */
  readonly run: (given: ParsedArgs) => Promise<number>
}

/** Invalid arguments, which the user can fix: exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** Parses the arguments of a command. */
export function readArguments(command: Command, args: readonly string[]): ParsedArgs {
  const options = Object.fromEntries(
    Object.entries(command.options).map(([name, { value, multiple = false }]) => [
      name,
      { type: value === undefined ? ('boolean' as const) : ('string' as const), multiple },
    ]),
  )
  const { values, positionals, tokens } = parseArgs({
    args: [...args],
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  })
  for (const token of tokens) if (token.kind === 'option') checkOption(command, token)
  const { min = 0, max = 0 } = command.count ?? {}
  if (positionals.length < min)
    throw new UsageError(`An argument is missing: waybill ${command.name} ${command.operands}.`)
  const surplus = positionals[max]
  if (surplus !== undefined)
    throw new UsageError(`Unexpected argument "${surplus}": see "waybill help ${command.name}".`)
  return new ParsedArgs(positionals, values, command)
}

function checkOption(
  command: Command,
  token: { readonly name: string; readonly rawName: string; readonly value?: string | undefined },
): void {
  const { name, rawName, value } = token
  const spec = Object.hasOwn(command.options, name) ? command.options[name] : undefined
  if (spec === undefined) {
    const known = Object.keys(command.options).map(it => `--${it}`)
    throw new UsageError(`Unknown option ${rawName}: waybill ${command.name} accepts ${known.join(', ')}.`)
  }
  if (spec.value !== undefined && value === undefined)
    throw new UsageError(`${rawName} needs a value: ${rawName} ${spec.value}.`)
  if (spec.value === undefined && value !== undefined)
    throw new UsageError(`${rawName} does not take a value: remove "${value}".`)
}

/** A UUID in lower case: ids are compared as strings. */
const ID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

type Values = Readonly<Record<string, string | boolean | (string | boolean)[] | undefined>>

/** The parsed arguments of a command. */
export class ParsedArgs {
  readonly operands: readonly string[]
  readonly #values: Values
  readonly #command: Command

  constructor(operands: readonly string[], values: Values, command: Command) {
    this.operands = operands
    this.#values = values
    this.#command = command
  }

  /** Whether a switch was given. */
  has(name: string): boolean {
    return this.#values[name] !== undefined
  }

  text(name: string): string | undefined {
    return this.texts(name).at(-1)
  }

  texts(name: string): readonly string[] {
    return [this.#values[name] ?? []].flat().filter(it => typeof it === 'string')
  }

  whole(name: string, { min, max }: { min: number; max: number }): number | undefined {
    const text = this.text(name)
    if (text === undefined) return undefined
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN
    if (value >= min && value <= max) return value
    throw new UsageError(`--${name} must be a whole number from ${min} to ${max}, not "${text}".`)
  }

  oneOf<Value extends string>(name: string, values: readonly Value[]): Value | undefined {
    const text = this.text(name)
    const value = values.find(it => it === text)
    if (text === undefined || value !== undefined) return value
    throw new UsageError(`--${name} must be one of ${values.join(', ')}, not "${text}".`)
  }

  /** The id of an operation. */
  id(name: string): string | undefined {
    const text = this.text(name)
    if (text === undefined || ID.test(text)) return text
    throw new UsageError(`--${name} must be the id of an operation, as ls and show print it, not "${text}".`)
  }

  /** Milliseconds. */
  duration(name: string): number | undefined {
    const text = this.text(name)
    if (text === undefined) return undefined
    try {
      return durationMs(`--${name}`, text)
    } catch (error) {
      throw new UsageError((error as Error).message)
    }
  }

  /** The URL of the store, from the option or `WAYBILL_STORE`. */
  storeUrl(name = 'store'): string {
    const url = this.text(name) || process.env.WAYBILL_STORE
    if (url) return url
    const remote = 'url' in this.#command.options ? ', or --url with the base URL of an API' : ''
    throw new UsageError(`No store is given: use --${name} sqlite:./orders.db, or set WAYBILL_STORE${remote}.`)
  }

  /** The URL of the blob store, from the option or `WAYBILL_BLOBS`; undefined if neither is set. */
  blobsUrl(): string | undefined {
    return this.text('blobs') || process.env.WAYBILL_BLOBS || undefined
  }
}

/** The option for the store. */
export const STORE_OPTION = {
  store: { value: 'URL', help: 'URL of the store (default: the environment variable WAYBILL_STORE)' },
} as const

/** The option for the blob store. */
export const BLOBS_OPTION = {
  blobs: {
    value: 'URL',
    help: 'URL of the blob store for large results and files (default: the environment variable WAYBILL_BLOBS)',
  },
} as const

export const JSON_OPTION = { json: { help: 'print JSON' } } as const

/** The same, for commands that go on until they are stopped. */
export const JSON_LINES_OPTION = { json: { help: 'print what happens as lines of JSON' } } as const
