/** Converts users' schemas to JSON Schema. Standard Schema libraries have a method for it. */
import type { JsonSchema, StandardSchema } from './operation-type.ts'
import { isStandardSchema } from './validation.ts'

/** Which side of a schema: what it accepts, or what it produces. */
export type Side = 'input' | 'output'

/** Standard JSON Schema 1: Zod 4.2, ArkType and Valibot's adapter offer it. */
interface WithJsonSchema {
  readonly jsonSchema?: Readonly<Record<Side, (options: { readonly target: string }) => JsonSchema>>
}

/** Converts a schema to JSON Schema 2020-12; undefined where it cannot be converted. */
export function jsonSchemaOf(schema: unknown, side: Side): JsonSchema | undefined {
  try {
    const found = isStandardSchema(schema) ? standardJsonSchema(schema, side) : schema
    // Converted to JSON and back, so that the schema is exactly what will be sent: values that are not JSON are
    // dropped.
    return found === undefined ? undefined : (JSON.parse(JSON.stringify(found)) as JsonSchema)
  } catch {
    // Zod throws for what JSON cannot express, such as the output of a transform.
    return undefined
  }
}

function standardJsonSchema(schema: StandardSchema, side: Side): JsonSchema | undefined {
  const { jsonSchema } = schema['~standard'] as WithJsonSchema
  return jsonSchema?.[side]({ target: 'draft-2020-12' })
}
