/** What a command is, and how its arguments are read: strictly, and with a cure for whatever is wrong. */
import { parseArgs } from 'node:util'
import { durationMs } from '../model/duration.ts'

/** An option of a command. */
export interface OptionSpec {
  /** What its value is called in the help; without it the option is a switch. */
  readonly value?: string
  /** Whether it may be given several times. */
  readonly multiple?: boolean
  readonly help: string
}

/** One command. */
export interface Command {
  readonly name: string
  /** What follows the name, without the options. */
  readonly operands?: string
  /** How many operands there may be. */
  readonly count?: { readonly min?: number; readonly max?: number }
  readonly summary: string
  readonly options: Readonly<Record<string, OptionSpec>>
  /** Gives the exit code. */
  readonly run: (given: Given) => Promise<number>
}

/** What the caller can mend in what was typed: exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** Reads the arguments of a command. */
export function readArguments(command: Command, args: readonly string[]): Given {
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
  if (positionals.length < min) throw new UsageError(`Say what: waybill ${command.name} ${command.operands}.`)
  const surplus = positionals[max]
  if (surplus !== undefined)
    throw new UsageError(`"${surplus}" is one argument too many: see "waybill help ${command.name}".`)
  return new Given(positionals, values)
}

function checkOption(
  command: Command,
  token: { readonly name: string; readonly rawName: string; readonly value?: string | undefined },
): void {
  const { name, rawName, value } = token
  const spec = Object.hasOwn(command.options, name) ? command.options[name] : undefined
  if (spec === undefined) {
    const known = Object.keys(command.options).map(it => `--${it}`)
    throw new UsageError(`There is no option ${rawName}: waybill ${command.name} takes ${known.join(', ')}.`)
  }
  if (spec.value !== undefined && value === undefined)
    throw new UsageError(`${rawName} needs a value: ${rawName} ${spec.value}.`)
  if (spec.value === undefined && value !== undefined)
    throw new UsageError(`${rawName} takes no value: leave out "${value}".`)
}

/** A UUID in lower case: ids are compared as texts. */
const ID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

type Values = Readonly<Record<string, string | boolean | (string | boolean)[] | undefined>>

/** What was typed. */
export class Given {
  readonly operands: readonly string[]
  readonly #values: Values

  constructor(operands: readonly string[], values: Values) {
    this.operands = operands
    this.#values = values
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

  /** The URL of the store: of the option, or of `WAYBILL_STORE`. */
  storeUrl(name = 'store'): string {
    const url = this.text(name) || process.env.WAYBILL_STORE
    if (url) return url
    throw new UsageError(`No store is named: give --${name} sqlite:./orders.db, or set WAYBILL_STORE.`)
  }

  /** The URL of the blob store: of the option, or of `WAYBILL_BLOBS`; undefined where none is named. */
  blobsUrl(): string | undefined {
    return this.text('blobs') || process.env.WAYBILL_BLOBS || undefined
  }
}

/** The option that nearly every command has. */
export const STORE_OPTION = {
  store: { value: 'URL', help: 'the store; default: the environment variable WAYBILL_STORE' },
} as const

/** The option of commands that run handlers, or read what they made. */
export const BLOBS_OPTION = {
  blobs: { value: 'URL', help: 'what keeps large results, and files; default: the environment variable WAYBILL_BLOBS' },
} as const

export const JSON_OPTION = { json: { help: 'prints JSON, for other programs' } } as const
