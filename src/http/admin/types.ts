/** What an operator is shown of the operation types. */
import type { AnyOperationType, JsonSchema, Policy } from '../../model/operation-type.ts'
import { jsonSchemaOf } from '../../model/standard-json-schema.ts'
import type { TypeStatistics } from '../../operator/views.ts'

/** How a type is now. */
export type TypeState = Omit<TypeStatistics, 'operation'>

/** One operation type: what is declared, and how it is now. Durations are milliseconds. */
export interface TypeView extends TypeState {
  readonly name: string
  readonly resultKey: string
  readonly policy: Policy
  readonly input: JsonSchema
  readonly output: JsonSchema
}

/** Describes a type. */
export function typeView(type: AnyOperationType, now: TypeState): TypeView {
  const { name, resultKey, policy } = type
  // Without a schema, any JSON is valid.
  const { input = {}, output = {} } = {
    input: jsonSchemaOf(type.input, 'input'),
    output: jsonSchemaOf(type.output, 'output'),
  }
  return { name, resultKey, policy, input, output, ...now }
}
