/**
 * Bicep files by their grammar, since no compiler of theirs can be had from npm: where they are not Bicep, what they
 * declare and use, and what their resources say.
 */
import { createRequire } from 'node:module'
import { Language, type Node, Parser } from 'web-tree-sitter'

await Parser.init()
const require = createRequire(import.meta.url)
const parser = new Parser()
parser.setLanguage(await Language.load(require.resolve('tree-sitter-bicep/tree-sitter-bicep.wasm')))

/** A resource that a file declares. */
export interface BicepResource {
  /** Such as `Microsoft.App/jobs`, without the version. */
  readonly type: string
  /** What is computed at deployment stands in it as its source text. */
  readonly body: unknown
}

/** What a file says. */
export interface BicepFile {
  /** Line and text of what is not Bicep. */
  readonly errors: readonly string[]
  /** Names that are used and declared nowhere, and functions that Bicep does not have. */
  readonly unknown: readonly string[]
  /** Parameters and variables that are declared and not used. */
  readonly unused: readonly string[]
  readonly resources: readonly BicepResource[]
}

/** The functions of Bicep that a template for a resource group is likely to call; what is not here is looked up and added. */
const FUNCTIONS = new Set(
  'concat contains empty endsWith environment extensionResourceId format guid join json length location replace resourceGroup resourceId split startsWith string subscription subscriptionResourceId substring take tenant toLower toUpper union uniqueString uri'.split(
    ' ',
  ),
)
const DECORATORS = new Set(['allowed', 'batchSize', 'description', 'maxLength', 'minLength', 'secure'])

/** Reads a file. */
export function readBicep(text: string): BicepFile {
  const tree = parser.parse(text)
  if (tree === null) throw new Error('The grammar gave no tree.')
  const declarations = tree.rootNode.namedChildren.filter(node => node.type.endsWith('_declaration'))
  const declared = new Map(declarations.map(node => [node.firstNamedChild?.text ?? '', node]))
  const used = new Set(namesIn(tree.rootNode, false))
  const local = namesIn(tree.rootNode, true)
  const known = new Set([...declared.keys(), ...FUNCTIONS, ...DECORATORS, ...local])
  const variables = new Map(declarations.filter(isVariable).map(node => [node.firstNamedChild?.text ?? '', node]))
  return {
    errors: errorsIn(tree.rootNode),
    unknown: [...used].filter(name => !known.has(name)),
    unused: declarations
      .filter(node => isVariable(node) || node.type === 'parameter_declaration')
      .map(node => node.firstNamedChild?.text ?? '')
      .filter(name => !used.has(name)),
    resources: declarations
      .filter(({ type }) => type === 'resource_declaration')
      .map(node => resource(node, variables)),
  }
}

function isVariable({ type }: Node): boolean {
  return type === 'variable_declaration'
}

function errorsIn(node: Node): string[] {
  if (node.isError || node.isMissing) return [`${node.startPosition.row + 1}: ${node.text.slice(0, 80)}`]
  return node.hasError ? node.children.flatMap(errorsIn) : []
}

/** The names that are used, or those that loops declare. */
function namesIn(node: Node, ofLoops: boolean): string[] {
  const isName = node.type === 'identifier' && !isDeclared(node)
  const own = isName && isLoopVariable(node) === ofLoops ? [node.text] : []
  return [...own, ...node.namedChildren.flatMap(child => namesIn(child, ofLoops))]
}

function isDeclared(node: Node): boolean {
  const { parent } = node
  const names = parent?.type === 'object_property' || parent?.type.endsWith('_declaration')
  return names === true && parent?.firstNamedChild?.id === node.id
}

function isLoopVariable(node: Node): boolean {
  return node.parent?.type === 'for_statement' && node.parent.childForFieldName('initializer')?.id === node.id
}

function resource(node: Node, variables: ReadonlyMap<string, Node>): BicepResource {
  const [type = ''] = (node.namedChildren[1]?.text ?? '').slice(1, -1).split('@')
  const body = objectIn(node)
  return { type, body: body && readValue(body, variables) }
}

/** The object that a declaration ends with, below its condition or loop. */
function objectIn(node: Node): Node | undefined {
  return node.type === 'object' ? node : node.namedChildren.map(objectIn).find(Boolean)
}

function readValue(node: Node, variables: ReadonlyMap<string, Node>): unknown {
  const inside = node.namedChildren.filter(({ type }) => type !== 'comment')
  const values = () => inside.map(child => readValue(child, variables))
  const last = inside.at(-1) ?? node
  switch (node.type) {
    case 'object':
      return Object.fromEntries(inside.map(property => [keyOf(property), readValue(property, variables)]))
    case 'object_property':
    case 'variable_declaration':
    case 'parenthesized_expression':
      return readValue(last, variables)
    case 'array':
      return values()
    case 'for_statement':
      return [readValue(last, variables)]
    case 'ternary_expression':
      return readValue(longer(inside), variables)
    case 'call_expression':
      return joined(node, variables)
    case 'string':
      return node.text.slice(1, -1)
    case 'number':
      return Number(node.text)
    case 'boolean':
      return node.text === 'true'
    default: {
      const variable = node.type === 'identifier' ? variables.get(node.text) : undefined
      return variable === undefined ? node.text : readValue(variable, variables)
    }
  }
}

/** Of two branches the one that says more. */
function longer([, then, otherwise]: readonly Node[]): Node {
  if (then === undefined || otherwise === undefined) throw new Error('A condition without two branches.')
  return then.text.length > otherwise.text.length ? then : otherwise
}

function keyOf(property: Node): string {
  return (property.firstNamedChild?.text ?? '').replaceAll("'", '')
}

/** What joins lists or objects is joined; of any other call its text is given. */
function joined(node: Node, variables: ReadonlyMap<string, Node>): unknown {
  const parts = node.namedChildren[1]?.namedChildren.map(part => readValue(part, variables)) ?? []
  const isJoin = /^(?:concat|union)$/.test(node.firstNamedChild?.text ?? '')
  if (isJoin && parts.every(Array.isArray)) return parts.flat()
  if (isJoin && parts.every(part => typeof part === 'object')) return Object.assign({}, ...parts)
  return node.text
}
