/** The tags of an operation: names and values that its type makes of the input, by which operators find it. */
import type { Tags } from './submission.ts'

/**
 * What a type's `tags` returns: numbers and booleans become strings, and members that are undefined or null are left
 * out.
 */
export type TagValues = Readonly<Record<string, string | number | boolean | null | undefined>>

/**
 * Makes tags of an input. Declared as a method: then TypeScript accepts a type with any input where one with the input
 * `unknown` is expected.
 */
export type Tagger<Input> = { tags(input: Input): TagValues }['tags']

const [MAX_TAGS, MAX_NAME, MAX_VALUE] = [8, 32, 128]

/**
 * Reads what a type's `tags` has returned. Longer values are cut, since they come from requests.
 *
 * @throws {TypeError} for too many tags, or a name that is too long: these are faults of the type, not of the request
 */
export function readTags(type: string, values: TagValues): Tags | null {
  const tags = Object.entries(values).flatMap(([name, value]): [string, string][] =>
    value === undefined || value === null ? [] : [[name, String(value).slice(0, MAX_VALUE)]],
  )
  if (tags.length > MAX_TAGS)
    throw new TypeError(`The type "${type}" returns ${tags.length} tags, but at most ${MAX_TAGS} are allowed.`)
  for (const [name] of tags) {
    if (name.length < 1 || name.length > MAX_NAME) {
      throw new TypeError(`The type "${type}" returns the tag "${name}", but a name has 1 to ${MAX_NAME} characters.`)
    }
  }
  return tags.length === 0 ? null : Object.fromEntries(tags)
}
