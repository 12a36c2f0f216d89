/**
 * `node scripts/words.ts`: refuses phrases that readers stumble over, in the strings and comments of TypeScript and in
 * the pages. With paths (`node scripts/words.ts src/http docs`) it checks those alone.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { parseSync, Visitor } from 'rolldown/utils'
import { root } from './tools.ts'

/** What is refused, and what to write instead. A space stands for any white space, also where a comment goes on. */
const PHRASES: readonly (readonly [phrase: string, instead: string])[] = [
  ['who asks', 'the caller, the client'],
  ['h(?:old|olds|eld|olding) (?:\\S+ )?against', 'compare with, check against'],
  ['anew', 'again'],
  ['mend(?:s|ed|ing)?', 'fix'],
  ['whoever', 'the person who, everyone who, the operator'],
  ['(?:tells?|told|telling) of', 'describe, mention, report'],
  ['(?<!there )(?:is|are) no (?!longer\\b|more\\b)[a-z]+', '"is not a …", or "there is no …"'],
  ['a text(?! file\\b| editor\\b| field\\b| event\\b)', 'a string'],
  ['so many', 'the number: "at most 5", "as many as"'],
  ['so often', 'the number: "each 5 s", "that many times"'],
  ['hears?|heard', 'is notified, receives'],
  ['in place of', 'instead of'],
  ['seldom', 'rarely'],
  ['in vain', 'without success, for nothing'],
  ['ma(?:k|d)es? up for', 'catch up'],
  ['hence|thereby|whereupon|lest', 'so, or two sentences'],
  ['for ever', 'forever'],
  ['somebody', 'someone, another process, or the passive'],
  ['for want of', 'without, because it has no'],
  ['bears?(?! in mind)', 'has'],
  ['stands? (?:before|behind|beside)', 'comes before, follows, is beside'],
  ['as good as none|as good as missing', 'counts as'],
  ['(?<!\\b(?:a|the|one|each|every|this|no|last|first) )call(?:s|ed|ing)? for', 'request, start, need'],
]

/** This file and its test quote the phrases. */
const LEFT_OUT = /^scripts\/words\.ts$|^test\/package\/words\.test\.ts$/

/** What is checked without a path. */
const CHECKED = [
  'src',
  'test',
  'docs',
  'examples',
  'bench',
  'scripts',
  'README.md',
  'ARCHITECTURE.md',
  'CHANGELOG.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
]

/** Where a phrase may be broken: at white space, and at the end of a line of a comment. */
const GAP = String.raw`(?:\s|(?<=\n\s*)(?:\*|//))+`

const GAPS = new RegExp(GAP, 'g')

const RULES = PHRASES.map(([phrase, instead]) => ({
  pattern: new RegExp(String.raw`(?<![\w-])(?:${phrase.replaceAll(' ', GAP)})(?![\w-])`, 'gi'),
  instead,
}))

if (import.meta.main) process.exitCode = main(process.argv.slice(2))

function main(paths: readonly string[]): number {
  const files = (paths.length > 0 ? paths : CHECKED).flatMap(filesOf).filter(file => !LEFT_OUT.test(file))
  const refused = files.flatMap(file => findPhrases(file, readFileSync(root + file, 'utf8')))
  for (const message of refused) console.error(message)
  console.log(`${files.length} files, ${refused.length} phrases to replace`)
  return refused.length > 0 ? 1 : 0
}

function filesOf(path: string): string[] {
  if (!statSync(root + path).isDirectory()) return [path]
  return readdirSync(root + path, { recursive: true, encoding: 'utf8' })
    .filter(name => /\.(?:ts|md)$/.test(name) && !name.includes('node_modules'))
    .map(name => `${path}/${name.replaceAll('\\', '/')}`)
    .sort()
}

/** Finds the phrases of a TypeScript file or a page: where each stands, and what to write instead. */
export function findPhrases(file: string, text: string): string[] {
  const prose = file.endsWith('.ts') ? withoutCode(file, text) : text
  return RULES.flatMap(({ pattern, instead }) =>
    [...prose.matchAll(pattern)].map(({ 0: found, index }) => {
      const line = text.slice(0, index).split('\n').length
      return `${file}:${line}: "${found.replaceAll(GAPS, ' ')}". Instead: ${instead}`
    }),
  )
}

/** The strings and comments of a file, each where it stands: the code between them is blanked out. */
function withoutCode(file: string, text: string): string {
  const { program, comments, errors } = parseSync(file, text)
  if (errors[0]) throw new Error(`${file} does not parse: ${errors[0].message}`)
  const spans: { readonly start: number; readonly end: number }[] = [...comments]
  new Visitor({
    Literal: node => typeof node.value === 'string' && spans.push(node),
    TemplateElement: node => spans.push(node),
  }).visit(program)
  const prose = [...text.replaceAll(/\S/g, '|')]
  for (const { start, end } of spans) for (let at = start; at < end; at++) prose[at] = text.charAt(at)
  return prose.join('')
}
