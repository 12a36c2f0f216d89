/** Reads values of other programs by their actual types. */

export type Fields = Readonly<Record<string, unknown>>

/** Whether a value is an object with fields: a list is none. */
export function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The fields of an object; an empty object for anything else. */
export function fieldsOf(value: unknown): Fields {
  return isObject(value) ? value : {}
}

/** The objects of a list; an empty list for anything else. */
export function itemsOf(value: unknown): Fields[] {
  return Array.isArray(value) ? value.map(fieldsOf) : []
}

export function stringOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

export function numberOf(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined
}
