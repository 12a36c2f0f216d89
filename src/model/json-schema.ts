/** Compiles JSON Schemas with TypeBox. */
import { Compile } from 'typebox/schema'
import type { JsonSchema } from './operation-type.ts'
import type { InputError } from './protocol.ts'

/**
 * Compiles a schema.
 *
 * @param maxErrors the most errors that are reported for one value
 * @returns a function that finds the errors of a value; it returns undefined where there are none
 * @throws {TypeError} when it is not a schema
 */
export function compileJsonSchema(
  schema: JsonSchema,
  maxErrors: number,
): (value: unknown) => readonly InputError[] | undefined {
  const compiled = Compile(schema)
  return value => {
    if (compiled.Check(value)) return undefined
    const [, errors] = compiled.Errors(value)
    return errors.slice(0, maxErrors).map(({ instancePath, message }) => ({ pointer: instancePath, detail: message }))
  }
}
