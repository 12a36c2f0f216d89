/** The fields of a form, as a JSON Schema of a simple kind has them. */

/** A JSON Schema. */
export type Schema = Readonly<Record<string, unknown>>

interface Common {
  /** The name within the form. */
  readonly id: string
  /** The member of the value; undefined where the field is the whole value. */
  readonly member: string | undefined
  readonly label: string
  readonly note: string | undefined
  readonly isRequired: boolean
}

interface Choice {
  readonly label: string
  readonly value: unknown
}

/** One field. Bounds are those of a number, or of the length of a text. */
export type Field = Common &
  (
    | { readonly kind: 'choice'; readonly choices: readonly Choice[] }
    | {
        readonly kind: 'text' | 'number' | 'integer'
        readonly min?: number | undefined
        readonly max?: number | undefined
      }
  )

const YES_NO: readonly Choice[] = [
  { label: 'Yes', value: true },
  { label: 'No', value: false },
]

/** The fields; undefined for a schema that is too complex for a form. */
export function fieldsOf(schema: Schema | undefined): readonly Field[] | undefined {
  if (schema === undefined) return undefined
  const { properties, required } = schema
  if (schema.type !== 'object') {
    const field = fieldOf(schema, undefined, true)
    return field && [field]
  }
  const names = Array.isArray(required) ? required : []
  const fields = Object.entries(isSchema(properties) ? properties : {}).map(([member, part]) =>
    isSchema(part) ? fieldOf(part, member, names.includes(member)) : undefined,
  )
  const known = fields.filter(field => field !== undefined)
  return known.length === fields.length && known.length > 0 ? known : undefined
}

/** The value of a form. Empty fields are left out. */
export function readValue(fields: readonly Field[], data: FormData): unknown {
  const values = fields.map(field => [field.member, readField(field, `${data.get(field.id) ?? ''}`)] as const)
  const [first] = values
  if (first !== undefined && first[0] === undefined) return first[1]
  return Object.fromEntries(values.filter(([, value]) => value !== undefined))
}

function readField(field: Field, text: string): unknown {
  if (field.kind === 'choice') return text === '' ? undefined : field.choices[Number(text)]?.value
  if (field.kind === 'text') return text === '' && !field.isRequired ? undefined : text
  return text === '' ? undefined : Number(text)
}

function fieldOf(schema: Schema, member: string | undefined, isRequired: boolean): Field | undefined {
  const { title, description } = schema
  const common = {
    id: member === undefined ? 'value' : `member-${member}`,
    member,
    label: typeof title === 'string' ? title : (member ?? 'Answer'),
    note: typeof description === 'string' ? description : undefined,
    isRequired,
  }
  const choices = choicesOf(schema)
  if (choices !== undefined) return { ...common, kind: 'choice', choices }
  const number = (value: unknown) => (typeof value === 'number' ? value : undefined)
  switch (schema.type) {
    case 'string':
      return { ...common, kind: 'text', min: number(schema.minLength), max: number(schema.maxLength) }
    case 'number':
    case 'integer':
      return { ...common, kind: schema.type, min: number(schema.minimum), max: number(schema.maximum) }
    default:
      return undefined
  }
}

function choicesOf(schema: Schema): readonly Choice[] | undefined {
  if (schema.type === 'boolean') return YES_NO
  const { enum: values } = schema
  if (!Array.isArray(values) || values.some(value => typeof value === 'object')) return undefined
  return values.map(value => ({ label: `${value}`, value }))
}

function isSchema(value: unknown): value is Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
