/** `node scripts/imports.ts`: checks the rules of scripts/rules.ts on src, or on the folder it is given. */
import { findBroken } from './rules.ts'
import { readSources } from './source.ts'
import { root } from './tools.ts'

const sources = readSources(process.argv[2] ?? `${root}src`)
const imports = sources.reduce((sum, source) => sum + source.imports.length, 0)
const broken = findBroken(sources)

for (const message of broken) console.error(`${message}\n`)
console.log(`${sources.length} files, ${imports} imports, ${broken.length} broken rules`)
process.exitCode = broken.length > 0 ? 1 : 0
