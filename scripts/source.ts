import { readdirSync, readFileSync } from 'node:fs'
import { posix } from 'node:path'
import { type ESTree, parseSync, Visitor } from 'rolldown/utils'

/** One mention of a module in a source file: an import, a re-export, a dynamic import or an `import('x')` type. */
export interface Import {
  /** The file, relative to src: `stores/sqlite.ts`. */
  readonly file: string
  readonly line: number
  /** What it names, as written. */
  readonly specifier: string
  /** A path relative to src for a relative specifier (`protocol.ts`, `../console/page.ts`), else the specifier. */
  readonly target: string
  /** Whether nothing of it is left when the types are erased. */
  readonly typeOnly: boolean
}

/** A function, the functions inside it not counted. */
export interface FunctionSize {
  readonly name: string
  readonly line: number
  readonly lines: number
  /** How deep its statements lie in branches, loops and `try`: 2 for an `if` in a loop. */
  readonly depth: number
}

/** What the rules look at in one source file. */
export interface SourceFile {
  /** Relative to src. */
  readonly file: string
  readonly lines: number
  /** How many of its lines are comments. */
  readonly commentLines: number
  /** How many values are said to be of a type, by `as` or `!`. `as const` and `as unknown` take nothing for granted. */
  readonly casts: number
  readonly imports: readonly Import[]
  readonly functions: readonly FunctionSize[]
}

/** Statements that hold others, beside `if`. */
const BLOCKS = [
  'ForStatement',
  'ForOfStatement',
  'ForInStatement',
  'WhileStatement',
  'DoWhileStatement',
  'SwitchStatement',
  'TryStatement',
]

type FunctionNode = ESTree.Function | ESTree.ArrowFunctionExpression

/** Reads every TypeScript file under a folder. Throws where one does not parse. */
export function readSources(folder: string): SourceFile[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map(file => file.replaceAll('\\', '/'))
    .filter(file => /\.m?tsx?$/.test(file))
    .sort()
    .map(file => readSource(file, readFileSync(`${folder}/${file}`, 'utf8')))
}

/** Reads one source file from its text. */
export function readSource(file: string, text: string): SourceFile {
  const { program, comments, errors } = parseSync(file, text)
  const error = errors[0]
  if (error) throw new Error(`${file} does not parse: ${error.message}`)
  const lineAt = lineFinder(text)
  return {
    file,
    lines: lineAt(text.trimEnd().length),
    commentLines: comments.reduce((sum, { start, end }) => sum + lineAt(end) - lineAt(start) + 1, 0),
    casts: countCasts(program),
    imports: findImports(file, program, lineAt),
    functions: findFunctions(program, lineAt),
  }
}

type LineAt = (offset: number) => number

function lineFinder(text: string): LineAt {
  const ends: number[] = []
  for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', end + 1)) ends.push(end)
  return offset => countBelow(ends, offset) + 1
}

/** How many of the numbers, which ascend, are below the limit. */
function countBelow(numbers: readonly number[], limit: number): number {
  let [low, high] = [0, numbers.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((numbers[middle] ?? limit) < limit) low = middle + 1
    else high = middle
  }
  return low
}

function findImports(file: string, program: ESTree.Program, lineAt: LineAt): Import[] {
  const found: Import[] = []
  const add = (source: ESTree.Node | null, typeOnly: boolean) => {
    if (source?.type !== 'Literal' || typeof source.value !== 'string') return
    const specifier = source.value
    found.push({ file, line: lineAt(source.start), specifier, target: resolve(file, specifier), typeOnly })
  }
  new Visitor({
    ImportDeclaration: node => add(node.source, isTypeImport(node)),
    ExportNamedDeclaration: node => add(node.source, node.exportKind === 'type'),
    ExportAllDeclaration: node => add(node.source, node.exportKind === 'type'),
    ImportExpression: node => add(node.source, false),
    TSImportType: node => add(node.source, true),
  }).visit(program)
  return found
}

function isTypeImport(node: ESTree.ImportDeclaration): boolean {
  if (node.importKind === 'type') return true
  const inline = node.specifiers.map(it => it.type === 'ImportSpecifier' && it.importKind === 'type')
  return inline.length > 0 && inline.every(Boolean)
}

function resolve(file: string, specifier: string): string {
  if (!specifier.startsWith('.')) return specifier
  return posix.join(posix.dirname(file), specifier)
}

function countCasts(program: ESTree.Program): number {
  let casts = 0
  new Visitor({
    TSAsExpression: ({ typeAnnotation: type }) => {
      const isConst = type.type === 'TSTypeReference' && 'name' in type.typeName && type.typeName.name === 'const'
      if (!isConst && type.type !== 'TSUnknownKeyword') casts += 1
    },
    TSNonNullExpression: () => {
      casts += 1
    },
  }).visit(program)
  return casts
}

interface OpenFunction {
  readonly name: string
  readonly first: number
  nested: number
  depth: number
  maxDepth: number
}

function findFunctions(program: ESTree.Program, lineAt: LineAt): FunctionSize[] {
  const open: OpenFunction[] = []
  const found: FunctionSize[] = []
  const elseIfs = new Set<ESTree.Node>()
  const enter = (node: FunctionNode) => {
    const name = ('id' in node && node.id?.name) || 'a function'
    open.push({ name, first: lineAt(node.start), nested: 0, depth: 0, maxDepth: 0 })
  }
  const leave = (node: FunctionNode) => {
    const ended = open.pop()
    if (!ended) return
    const last = lineAt(node.end)
    const lines = last - ended.first + 1 - ended.nested
    found.push({ name: ended.name, line: ended.first, lines, depth: ended.maxDepth })
    const outer = open.at(-1)
    // The line it starts on is the outer function's too.
    if (outer) outer.nested += last - ended.first
  }
  const indent = () => {
    const inner = open.at(-1)
    if (inner) inner.maxDepth = Math.max(inner.maxDepth, ++inner.depth)
  }
  const dedent = () => {
    const inner = open.at(-1)
    if (inner) inner.depth -= 1
  }
  new Visitor({
    ...Object.fromEntries(
      BLOCKS.flatMap(block => [
        [block, indent],
        [`${block}:exit`, dedent],
      ]),
    ),
    // `else if` lies no deeper than its `if`.
    IfStatement: node => {
      if (node.alternate?.type === 'IfStatement') elseIfs.add(node.alternate)
      if (!elseIfs.has(node)) indent()
    },
    'IfStatement:exit': node => {
      if (!elseIfs.has(node)) dedent()
    },
    FunctionDeclaration: enter,
    'FunctionDeclaration:exit': leave,
    FunctionExpression: enter,
    'FunctionExpression:exit': leave,
    ArrowFunctionExpression: enter,
    'ArrowFunctionExpression:exit': leave,
  }).visit(program)
  return found
}
