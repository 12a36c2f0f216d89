/**
 * `node scripts/core-path.ts`: the size of the core path, which is all that an operation runs through on one machine, from
 * the Fastify plugin to the SQLite store and back. It leaves out what describes, observes or notifies, and what runs the
 * work elsewhere.
 */
import { readSources } from './source.ts'
import { root } from './tools.ts'

const ENTRIES = ['servers/fastify.ts', 'stores/sqlite/sqlite.ts', 'stores/sqlite/writer-thread.ts']
const LEFT_OUT =
  /^(openapi|webhooks|launchers|observability|blobs|worker\/runners\/child-process)\/|^http\/(dialects\/(accepted|azure)|description|deliveries|cors)/

const sources = new Map(readSources(`${root}src`).map(source => [source.file, source]))
const path = reachable(ENTRIES)
const byRoom = Map.groupBy(path, file => file.slice(0, file.lastIndexOf('/') + 1))
for (const [room, files] of [...byRoom].sort()) {
  console.log(`${String(linesOf(files)).padStart(6)}  ${room}  ${files.map(file => file.slice(room.length)).join(' ')}`)
}
console.log(`${String(linesOf(path)).padStart(6)}  in ${path.length} files`)

function reachable(entries: readonly string[]): string[] {
  const found = new Set<string>()
  const visit = (file: string): void => {
    const source = sources.get(file)
    if (source === undefined || found.has(file) || LEFT_OUT.test(file)) return
    found.add(file)
    for (const { target, typeOnly } of source.imports) if (!typeOnly) visit(target)
  }
  for (const entry of entries) visit(entry)
  return [...found].sort()
}

function linesOf(files: readonly string[]): number {
  return files.reduce((sum, file) => sum + (sources.get(file)?.lines ?? 0), 0)
}
