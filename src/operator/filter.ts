/**
 * A filter for operations, as an object and as a line of text, which the console and the command line share:
 * `status:failed type:orders tag:customer=Ada since:2h some words`. It is safe in a browser.
 */
import { durationText, LONGEST_MS, readDuration } from '../model/duration.ts'
import { STATUSES, type Status } from '../model/protocol.ts'
import type { OperatorFilter } from '../stores/store.ts'
import { parseIsoTime } from '../util/dates.ts'

/**
 * Says which part of a filter's text is wrong, and how to write it.
 *
 * @example
 * import { FilterError, parseFilter } from 'waybill/server'
 *
 * try {
 *   parseFilter('type:orders status:done')
 * } catch (error) {
 *   if (error instanceof FilterError) console.log(error.token) // status:done
 * }
 */
export class FilterError extends Error {
  override readonly name = 'FilterError'
  /** The part of the text that is wrong. */
  readonly token: string

  constructor(token: string, cure: string) {
    super(`${token}: ${cure}`)
    this.token = token
  }
}

/** A term of the text: `name:value`, or words to search for. */
interface Token {
  readonly text: string
  readonly name?: string
  readonly value: string
}

type Term = (value: string, text: string, now: number) => OperatorFilter

/** The meaning of each name, in the order in which {@link formatFilter} writes them. */
const TERMS: Readonly<Record<string, Term>> = {
  status: (value, text) => ({ status: readStatus(value, text) }),
  type: value => ({ type: value }),
  owner: value => ({ owner: value }),
  problem: value => ({ problem: value }),
  tag: (value, text) => ({ tag: readTag(value, text) }),
  since: (value, text, now) => ({ createdAfter: readTime(value, text, now, 'begin') }),
  until: (value, text, now) => ({ createdBefore: readTime(value, text, now, 'end') }),
  key: value => ({ key: value }),
  execution: value => ({ execution: value }),
  holder: value => ({ holder: value }),
}

/** The names that a filter's text may have before a colon. */
export const FILTER_NAMES: readonly string[] = Object.keys(TERMS)

/**
 * Reads a filter: parts of the form `name:value`, and words to search for. A value with spaces is put in double quotes,
 * in which `\"` and `\\` stand for `"` and `\`. `since` and `until` take a time such as `2026-11-29T08:00:00Z`, a day
 * such as `2026-11-29` (UTC, all of it), or how long ago, such as `2h`.
 *
 * @param now the time from which "ago" counts, in milliseconds since the epoch; default the present
 * @throws {FilterError} for a name that it does not know, one that is given twice, and a value that cannot be read
 *
 * @example
 * import { parseFilter } from 'waybill/server'
 *
 * console.log(parseFilter('status:failed type:orders some words').search) // some words
 */
export function parseFilter(text: string, now: number = Date.now()): OperatorFilter {
  const words: string[] = []
  const seen = new Set<string>()
  let filter: OperatorFilter = {}
  for (const { name, value, text: token } of tokensOf(text)) {
    if (name === undefined) {
      words.push(value)
      continue
    }
    if (seen.has(name)) throw new FilterError(token, `"${name}" is given twice; give it once.`)
    seen.add(name)
    filter = { ...filter, ...termOf(name, token)(value, token, now) }
  }
  return words.length === 0 ? filter : { ...filter, search: words.join(' ') }
}

/**
 * Writes a filter as text, from which {@link parseFilter} reads the same filter again.
 *
 * @example
 * import { formatFilter } from 'waybill/server'
 *
 * console.log(formatFilter({ status: 'failed', owner: 'Ada Lovelace' })) // status:failed owner:"Ada Lovelace"
 */
export function formatFilter(filter: OperatorFilter): string {
  const { status, type, owner, problem, tag, createdAfter, createdBefore, key, execution, holder, search } = filter
  const values: Record<string, string | undefined> = {
    status,
    type,
    owner,
    problem,
    tag: tag && `${tag.name}=${tag.value}`,
    since: instant(createdAfter),
    until: instant(createdBefore),
    key,
    execution,
    holder,
  }
  const terms = FILTER_NAMES.flatMap(name => (values[name] === undefined ? [] : [`${name}:${quoted(values[name])}`]))
  return [...terms, ...(search === undefined ? [] : [searchText(search)])].join(' ')
}

/** A quoted string or a word without spaces, with or without a name before it. */
const TOKEN = /\s*(?:([A-Za-z]+):)?(?:"((?:[^"\\]|\\.)*)"(?=\s|$)|(\S*))/y

function tokensOf(text: string): Token[] {
  const tokens: Token[] = []
  const rest = text.trimEnd()
  TOKEN.lastIndex = 0
  while (TOKEN.lastIndex < rest.length) {
    const [whole = '', name, quotes, plain = ''] = TOKEN.exec(rest) ?? []
    const token = whole.trim()
    if (quotes === undefined && plain.startsWith('"')) throw new FilterError(token, 'the quotes are not closed.')
    const value = quotes === undefined ? plain : quotes.replaceAll(/\\(.)/g, '$1')
    if (name !== undefined && quotes === undefined && value === '') {
      throw new FilterError(token, `give a value after the colon; "" stands for the empty one.`)
    }
    tokens.push({ text: token, value, ...(name !== undefined && { name: name.toLowerCase() }) })
  }
  return tokens
}

function termOf(name: string, token: string): Term {
  const term = Object.hasOwn(TERMS, name) ? TERMS[name] : undefined
  if (term !== undefined) return term
  const cure = `there is no "${name}"; use one of ${FILTER_NAMES.join(', ')}, or put it in quotes to search for it.`
  throw new FilterError(token, cure)
}

function readStatus(value: string, token: string): Status {
  const status = STATUSES.find(it => it === value.toLowerCase())
  if (status === undefined) throw new FilterError(token, `a status is one of ${STATUSES.join(', ')}.`)
  return status
}

function readTag(value: string, token: string): { name: string; value: string } {
  const at = value.indexOf('=')
  if (at < 1) throw new FilterError(token, 'a tag is written as tag:name=value.')
  return { name: value.slice(0, at), value: value.slice(at + 1) }
}

const DAY_MS = 86_400_000
const DAY = /^\d{4}-\d{2}-\d{2}$/
const INSTANT = /^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:[Zz]|[+-]\d{2}:\d{2})$/

function readTime(value: string, token: string, now: number, edge: 'begin' | 'end'): number {
  const ago = readDuration(value, { max: LONGEST_MS })
  if (ago !== undefined) return now - ago
  const at = DAY.test(value) || INSTANT.test(value) ? parseIsoTime(value) : Number.NaN
  if (!Number.isNaN(at)) return DAY.test(value) && edge === 'end' ? at + DAY_MS : at
  const cure = `write how long ago, such as 2h (at most ${durationText(LONGEST_MS)}), a day such as 2026-11-29, or a time such as 2026-11-29T08:00:00Z.`
  throw new FilterError(token, cure)
}

function instant(at: number | undefined): string | undefined {
  return at === undefined ? undefined : new Date(at).toISOString()
}

function quoted(value: string): string {
  return value !== '' && /^[^\s"\\]+$/.test(value) ? value : quote(value)
}

/** Words stay unquoted if they are read as the same words again. */
function searchText(search: string): string {
  const isPlain = search.split(' ').every(word => word !== '' && !/[\s"]|^[A-Za-z]+:/.test(word))
  return isPlain ? search : quote(search)
}

function quote(value: string): string {
  return `"${value.replaceAll(/["\\]/g, '\\$&')}"`
}
