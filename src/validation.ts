/** Holds values against schemas: a Standard Schema by its own means, a JSON Schema by TypeBox's compiled validator. */
import { Compile } from 'typebox/schema'
import type { JsonSchema, StandardIssue, StandardSchema } from './operation-type.ts'
import type { InputError } from './protocol.ts'

/** What a schema says of a value: the value as the schema parsed it, or what is wrong with it. */
export type Validated =
  | { readonly value: unknown; readonly errors?: undefined }
  | { readonly errors: readonly InputError[] }

type Validator = (value: unknown) => Validated | Promise<Validated>

/** Of more errors the first ones are told. */
const MAX_ERRORS = 50

const validators = new WeakMap<object, Validator>()

/** Checks a value against a schema; without a schema, every value is right. */
export async function validate(schema: unknown, value: unknown): Promise<Validated> {
  if (schema === undefined) return { value }
  return await validatorOf(schema as object)(value)
}

/**
 * Compiles a schema ahead of its first use, so that a bad one is found when the program starts.
 *
 * @throws {TypeError} when it is no schema
 */
export function checkSchema(schema: unknown): void {
  if (schema !== undefined) validatorOf(schema as object)
}

/** Whether the schema offers Standard Schema 1. */
export function isStandardSchema(schema: unknown): schema is StandardSchema {
  const has = (typeof schema === 'object' && schema !== null) || typeof schema === 'function'
  return has && '~standard' in (schema as object)
}

function validatorOf(schema: object): Validator {
  const known = validators.get(schema)
  if (known !== undefined) return known
  const validator = isStandardSchema(schema) ? standardValidator(schema) : jsonValidator(schema as JsonSchema)
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

function jsonValidator(schema: JsonSchema): Validator {
  const compiled = Compile(schema)
  return value => {
    if (compiled.Check(value)) return { value }
    const [, errors] = compiled.Errors(value)
    return {
      errors: errors
        .slice(0, MAX_ERRORS)
        .map(({ instancePath, message }) => ({ pointer: instancePath, detail: message })),
    }
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
