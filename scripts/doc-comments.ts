/** Reads the public doc comments of src: what each entry point of the package exports, and the examples in between. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { posix } from 'node:path'
import { type ESTree, parseSync } from 'rolldown/utils'
import { root } from './tools.ts'

/** A doc comment that has been taken apart. */
export interface DocComment {
  /** The text before the first tag. */
  readonly description: string
  /** The code of each `@example`. */
  readonly examples: readonly string[]
}

/** A function, class or constant that users import. */
export interface ExportedValue {
  /** As users write it: `waybill/client`. */
  readonly entryPoint: string
  readonly name: string
  /** The file that declares it, relative to the root. */
  readonly file: string
  readonly comment: DocComment | undefined
}

/** One `@example` of src. */
export interface Example {
  /** Relative to the root. */
  readonly file: string
  /** Where its comment begins, from 1. */
  readonly line: number
  readonly code: string
}

/** Every example in a doc comment of src. */
export function readExamples(): Example[] {
  return readdirSync(`${root}src`, { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.ts'))
    .map(name => `src/${name.replaceAll('\\', '/')}`)
    .sort()
    .flatMap(examplesOf)
}

function examplesOf(file: string): Example[] {
  const text = readFileSync(root + file, 'utf8')
  const { comments } = parse(file)
  return comments.filter(isDoc).flatMap(({ start, value }) => {
    const line = text.slice(0, start).split('\n').length
    return parseComment(value).examples.map(code => ({ file, line, code }))
  })
}

/** Every value that an entry point of the package exports, in the order of package.json. */
export function readExportedValues(): ExportedValue[] {
  const { exports } = JSON.parse(readFileSync(`${root}package.json`, 'utf8')) as {
    exports: Record<string, string | { readonly 'waybill-source': string }>
  }
  return Object.entries(exports)
    .flatMap(([path, target]) => (typeof target === 'string' ? [] : entriesOf(path, target['waybill-source'])))
    .flatMap(([path, source]) =>
      [...valuesOf(source)].map(([name, { file, comment }]) => ({
        entryPoint: posix.join('waybill', path),
        name,
        file,
        comment,
      })),
    )
}

/** An entry point and its file. A path with a `*` is an entry point for each name that leads to a file. */
function entriesOf(path: string, target: string): [path: string, file: string][] {
  if (!path.includes('*')) return [[path, posix.normalize(target)]]
  const names = readdirSync(root + target.slice(0, target.indexOf('*'))).map(name => name.replace(/\.ts$/, ''))
  return names
    .map((name): [string, string] => [path.replace('*', name), posix.normalize(target.replaceAll('*', name))])
    .filter(([, file]) => existsSync(root + file))
}

interface Value {
  readonly file: string
  readonly comment: DocComment | undefined
}

/** The values that a module exports, by name. */
function valuesOf(file: string): Map<string, Value> {
  const values = new Map<string, Value>()
  for (const node of parse(file).program.body) {
    if (node.type === 'ExportAllDeclaration' && node.exportKind !== 'type' && node.source.value.startsWith('.')) {
      for (const [name, value] of valuesOf(resolve(file, node.source.value))) values.set(name, value)
    }
    if (node.type !== 'ExportNamedDeclaration' || node.exportKind === 'type') continue
    for (const name of namesOf(node.declaration)) {
      // Of overloads the first has the comment.
      if (!values.has(name)) values.set(name, { file, comment: commentBefore(file, node.start) })
    }
    for (const { exported, local, exportKind } of node.specifiers) {
      if (exportKind === 'type' || !('name' in exported) || !('name' in local)) continue
      const value = node.source ? importedValue(file, node.source.value, local.name) : localValue(file, local.name)
      if (value) values.set(exported.name, value)
    }
  }
  return values
}

function importedValue(file: string, specifier: string, name: string): Value | undefined {
  return specifier.startsWith('.') ? valuesOf(resolve(file, specifier)).get(name) : undefined
}

/** A value that is declared or imported in one statement and exported in another. */
function localValue(file: string, name: string): Value | undefined {
  for (const node of parse(file).program.body) {
    if (namesOf(node).includes(name)) return { file, comment: commentBefore(file, node.start) }
    if (node.type !== 'ImportDeclaration' || node.importKind === 'type') continue
    const found = node.specifiers.find(it => it.local.name === name)
    if (found?.type === 'ImportSpecifier' && 'name' in found.imported) {
      return importedValue(file, node.source.value, found.imported.name)
    }
  }
  return
}

/** The names of the values that a statement declares. */
function namesOf(node: ESTree.Node | null): string[] {
  switch (node?.type) {
    case 'FunctionDeclaration':
    case 'TSDeclareFunction':
    case 'ClassDeclaration':
      return node.id ? [node.id.name] : []
    case 'VariableDeclaration':
      return node.declarations.flatMap(({ id }) => (id.type === 'Identifier' ? [id.name] : []))
    default:
      return []
  }
}

function commentBefore(file: string, start: number): DocComment | undefined {
  const { comments, text } = parse(file)
  const last = comments.filter(({ end }) => end <= start && text.slice(end, start).trim() === '').at(-1)
  return last && isDoc(last) ? parseComment(last.value) : undefined
}

function isDoc({ type, value }: { readonly type: string; readonly value: string }): boolean {
  return type === 'Block' && value.startsWith('*')
}

/** Takes the inside of a comment apart. An example may stand in a fence. */
export function parseComment(value: string): DocComment {
  const text = value.replaceAll(/^[ \t]*\*(?: |(?=\n)|$)/gm, '').trim()
  const [description = '', ...tags] = text.split(/^(?=@[a-z]+\b)/m)
  const examples = tags.filter(tag => tag.startsWith('@example')).map(tag => tag.replace(/^@example\s*/, '').trim())
  return {
    description: description.trim(),
    examples: examples.map(code => /^```\w*\n(.*?)\n```$/s.exec(code)?.[1] ?? code),
  }
}

interface Parsed extends ReturnType<typeof parseSync> {
  readonly text: string
}

const parsed = new Map<string, Parsed>()

function parse(file: string): Parsed {
  const known = parsed.get(file)
  if (known) return known
  const text = readFileSync(root + file, 'utf8')
  const result = parseSync(file, text)
  if (result.errors[0]) throw new Error(`${file} does not parse: ${result.errors[0].message}`)
  const { program, comments } = result
  const made = { program, comments, text } as Parsed
  parsed.set(file, made)
  return made
}

function resolve(file: string, specifier: string): string {
  return posix.join(posix.dirname(file), specifier)
}
