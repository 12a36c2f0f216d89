/** The tags of an operation: what its type makes of the input for operators to find it by. */
import type { Tags } from './submission.ts'

/** What a type's `tags` returns: values that are not strings are written as such, and what is undefined or null is left out. */
export type TagValues = Readonly<Record<string, string | number | boolean | null | undefined>>

/** Makes tags of an input. A method, so that a type of any input is one of `unknown` too. */
export type Tagger<Input> = { tags(input: Input): TagValues }['tags']

const [MAX_TAGS, MAX_NAME, MAX_VALUE] = [8, 32, 128]

/**
 * Reads what a type's `tags` has returned. Longer values are cut, since they come from requests.
 *
 * @throws {TypeError} for more tags than there may be, or a name that is too long: those are the type's own
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
