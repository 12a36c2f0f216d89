/** The part of Cosmos DB's SQL that single-container queries without aggregates and joins are made of. */
import { CosmosProblem } from './problem.ts'

export type Value = unknown
export type Parameters = ReadonlyMap<string, Value>

/** An expression, by what it gives for a document. `undefined` is Cosmos DB's own undefined. */
interface Expression {
  readonly text: string
  /** The last part of a path: how its column is named. */
  readonly name: string
  readonly of: (document: Value, parameters: Parameters) => Value
  /** The conditions that AND joins. */
  readonly all?: readonly Expression[]
}

export interface OrderBy {
  readonly text: string
  readonly direction: 'Ascending' | 'Descending'
  readonly of: Expression['of']
}

export interface Query {
  readonly select: Expression['of']
  /** The text of what one result is made of, for the plan. */
  readonly payload: string
  readonly from: string
  readonly where: Expression | undefined
  readonly orderBy: OrderBy | undefined
  /** What is asked for is how many there are. */
  readonly counts: boolean
}

const TOKEN =
  /\s*(?:(@?[A-Za-z_][A-Za-z0-9_]*)|(\d+(?:\.\d+)?)|("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(<=|>=|!=|<>|[=<>().,*[\]{}:]))/y

function tokens(sql: string): string[] {
  const found: string[] = []
  TOKEN.lastIndex = 0
  while (sql.slice(TOKEN.lastIndex).trim() !== '') {
    const at = TOKEN.lastIndex
    const match = TOKEN.exec(sql)
    if (match === null) throw new CosmosProblem(400, `Syntax error near '${sql.slice(at, at + 20)}'.`)
    found.push(match[0].trim())
  }
  return found
}

/** @throws {CosmosProblem} 400, for what it cannot read */
export function parse(sql: string): Query {
  const counts = COUNT.test(sql)
  return { ...new Parser(tokens(sql.replace(COUNT, '1'))).query(), counts }
}

/** Alone, and as the plan has it sent to each partition. */
const COUNT = /\[\{"item": COUNT\(1\)\}\]|COUNT\(1\)/

class Parser {
  readonly #tokens: readonly string[]
  #at = 0

  constructor(all: readonly string[]) {
    this.#tokens = all
  }

  query(): Omit<Query, 'counts'> {
    this.#expect('SELECT')
    const columns = this.#columns()
    this.#expect('FROM')
    const from = this.#next()
    const where = this.#takes('WHERE') ? this.#or() : undefined
    const orderBy = this.#takes('ORDER') ? this.#orderBy() : undefined
    if (this.#at < this.#tokens.length) throw this.#error()
    return { ...columns(from), from, where, orderBy }
  }

  /** What is selected may name the alias that FROM gives only later. */
  #columns(): (from: string) => Pick<Query, 'select' | 'payload'> {
    if (this.#takes('*')) return from => ({ select: document => document, payload: from })
    if (this.#takes('VALUE')) {
      const { of, text } = this.#operand()
      return () => ({ select: of, payload: text })
    }
    const fields: Expression[] = []
    do {
      const expression = this.#operand()
      fields.push(this.#takes('AS') ? { ...expression, name: this.#next() } : expression)
    } while (this.#takes(','))
    const payload = `{${fields.map(({ name, text }) => `"${name}": ${text}`).join(', ')}}`
    return () => ({ select: objectOf(fields), payload })
  }

  #orderBy(): OrderBy {
    this.#expect('BY')
    const { text, of } = this.#operand()
    const descending = this.#takes('DESC')
    if (!descending) this.#takes('ASC')
    return { text, of, direction: descending ? 'Descending' : 'Ascending' }
  }

  #or(): Expression {
    let left = this.#and()
    while (this.#takes('OR')) left = logical(left, 'OR', this.#and())
    return left
  }

  #and(): Expression {
    let left = this.#comparison()
    while (this.#takes('AND')) left = logical(left, 'AND', this.#comparison())
    return left
  }

  #comparison(): Expression {
    const left = this.#operand()
    if (this.#takes('IN')) {
      this.#expect('(')
      const all = this.#list(')')
      const text = `${left.text} IN (${all.map(it => it.text).join(', ')})`
      return { text, name: '', of: (...on) => all.some(it => compare(left.of(...on), '=', it.of(...on)) === true) }
    }
    const operator = this.#peek()
    if (!['=', '!=', '<>', '<', '<=', '>', '>='].includes(operator)) return left
    this.#at++
    const right = this.#operand()
    const text = `${left.text} ${operator} ${right.text}`
    return { text, name: '', of: (...on) => compare(left.of(...on), operator, right.of(...on)) }
  }

  #list(end: string): Expression[] {
    const all: Expression[] = []
    while (!this.#takes(end)) {
      all.push(this.#operand())
      if (this.#peek() !== end) this.#expect(',')
    }
    return all
  }

  #operand(): Expression {
    const token = this.#next()
    if (token === '(') {
      const inner = this.#or()
      this.#expect(')')
      return { ...inner, text: `(${inner.text})` }
    }
    if (token === '[') {
      const all = this.#list(']')
      return { text: `[${all.map(it => it.text).join(', ')}]`, name: '', of: (...on) => all.map(it => it.of(...on)) }
    }
    if (token === '{') return this.#object()
    if (token.startsWith('@')) return { text: token, name: '', of: (_, parameters) => parameters.get(token) }
    if (/^["'\d]|^(true|false|null)$/i.test(token)) return literal(token)
    if (/^[A-Za-z_]/.test(token)) return this.#path(token)
    throw this.#error()
  }

  #object(): Expression {
    const fields: Expression[] = []
    while (!this.#takes('}')) {
      const name = this.#next().slice(1, -1)
      this.#expect(':')
      fields.push({ ...this.#operand(), name })
      if (this.#peek() !== '}') this.#expect(',')
    }
    const text = `{${fields.map(field => `"${field.name}": ${field.text}`).join(', ')}}`
    return { text, name: '', of: objectOf(fields) }
  }

  #path(root: string): Expression {
    const parts: string[] = []
    while (this.#takes('.')) parts.push(this.#next())
    return {
      text: [root, ...parts].join('.'),
      name: parts.at(-1) ?? root,
      of: document => parts.reduce<Value>((at, part) => (isObject(at) ? at[part] : undefined), document),
    }
  }

  #peek(): string {
    return this.#tokens[this.#at] ?? ''
  }

  #next(): string {
    const token = this.#peek()
    this.#at++
    return token
  }

  #takes(word: string): boolean {
    const takes = this.#peek().toUpperCase() === word
    if (takes) this.#at++
    return takes
  }

  #expect(word: string): void {
    if (!this.#takes(word)) throw this.#error()
  }

  #error(): CosmosProblem {
    return new CosmosProblem(
      400,
      `Syntax error: unexpected '${this.#peek()}' after '${this.#tokens.slice(0, this.#at).join(' ')}'.`,
    )
  }
}

function isObject(value: Value): value is Record<string, Value> {
  return typeof value === 'object' && value !== null
}

function literal(token: string): Expression {
  const text = token.startsWith("'") ? `"${token.slice(1, -1)}"` : token.toLowerCase() === token ? token : token
  const value: Value = JSON.parse(/^(true|false|null)$/i.test(text) ? text.toLowerCase() : text)
  return { text: token, name: '', of: () => value }
}

function objectOf(fields: readonly Expression[]): Expression['of'] {
  return (...on) => {
    const values = fields.map(({ name, of }) => [name, of(...on)] as const)
    return Object.fromEntries(values.filter(([, value]) => value !== undefined))
  }
}

function logical(left: Expression, operator: 'AND' | 'OR', right: Expression): Expression {
  const of: Expression['of'] = (...on) =>
    operator === 'AND'
      ? left.of(...on) === true && right.of(...on) === true
      : left.of(...on) === true || right.of(...on) === true
  const text = `${left.text} ${operator} ${right.text}`
  return operator === 'AND' ? { text, name: '', of, all: [...(left.all ?? [left]), right] } : { text, name: '', of }
}

/** Values of different types, and undefined ones, cannot be compared: the result is undefined. */
function compare(left: Value, operator: string, right: Value): boolean | undefined {
  if (left === undefined || right === undefined || typeof left !== typeof right) return undefined
  const order = orderOf(left, right)
  switch (operator) {
    case '=':
      return order === 0
    case '<':
      return order < 0
    case '<=':
      return order <= 0
    case '>':
      return order > 0
    case '>=':
      return order >= 0
    default:
      return order !== 0
  }
}

/** Of two values of one type. Strings are compared by their code units, as the SDK does when it merges partitions. */
export function orderOf(left: Value, right: Value): number {
  if (left === right) return 0
  return (left as string) < (right as string) ? -1 : 1
}
