/**
 * Validates values. A Standard Schema validates by its own method; for a JSON Schema TypeBox does. TypeBox is loaded
 * when the first JSON Schema is needed, since a child process starts in less than half of the time without it.
 */
import type { compileJsonSchema } from './json-schema.ts'
import type { JsonSchema, StandardIssue, StandardSchema } from './operation-type.ts'
import type { InputError } from './protocol.ts'

/** The outcome of a validation: the value as the schema parsed it, or its errors. */
export type Validated =
  | { readonly value: unknown; readonly errors?: undefined }
  | { readonly errors: readonly InputError[] }

type Validator = (value: unknown) => Validated | Promise<Validated>

/** The most errors that are reported for one value. */
const MAX_ERRORS = 50

const validators = new WeakMap<object, Validator>()

/** Checks a value against a schema; without a schema, every value is valid. */
export async function validate(schema: unknown, value: unknown): Promise<Validated> {
  if (schema === undefined) return { value }
  const known = validators.get(schema as object)
  return await (known ?? (await validatorOf(schema as object)))(value)
}

/**
 * Compiles a schema ahead of its first use, so that a bad one is found when the program starts.
 *
 * @throws {TypeError} when it is not a schema
 */
export function checkSchema(schema: unknown, compile: typeof compileJsonSchema): void {
  if (schema !== undefined && !isStandardSchema(schema)) addJsonSchema(schema as JsonSchema, compile)
}

/** Whether the schema offers Standard Schema 1. */
export function isStandardSchema(schema: unknown): schema is StandardSchema {
  const has = (typeof schema === 'object' && schema !== null) || typeof schema === 'function'
  return has && '~standard' in (schema as object)
}

async function validatorOf(schema: object): Promise<Validator> {
  if (!isStandardSchema(schema)) {
    const { compileJsonSchema } = await import('./json-schema.ts')
    return addJsonSchema(schema as JsonSchema, compileJsonSchema)
  }
  const validator = standardValidator(schema)
  validators.set(schema, validator)
  return validator
}

function addJsonSchema(schema: JsonSchema, compile: typeof compileJsonSchema): Validator {
  const errorsOf = compile(schema, MAX_ERRORS)
  const validator = (value: unknown): Validated => {
    const errors = errorsOf(value)
    return errors === undefined ? { value } : { errors }
  }
  validators.set(schema, validator)
  return validator
}

function standardValidator(schema: StandardSchema): Validator {
  return async value => {
    const result = await schema['~standard'].validate(value)
    if (result.issues === undefined) return { value: result.value }
    return { errors: result.issues.slice(0, MAX_ERRORS).map(toError) }
  }
}

function toError(issue: StandardIssue): InputError {
  const keys = (issue.path ?? []).map(segment => (typeof segment === 'object' ? segment.key : segment))
  return { pointer: keys.map(key => `/${escapePointer(String(key))}`).join(''), detail: issue.message }
}

/** RFC 6901, section 3. */
export function escapePointer(key: string): string {
  return key.replaceAll('~', '~0').replaceAll('/', '~1')
}
