/**
 * `node scripts/core-path.ts`: the size of the core path, which is all that an operation runs through on one machine, from
 * the Fastify plugin to the SQLite store and back: submit, claim, run, finish, read. It leaves out what describes, observes
 * or notifies, what runs the work elsewhere, other ways in, and what an operation may do beside: wait, have children, be
 * one of a batch, be retried by a client.
 */
import { readSources } from './source.ts'
import { root } from './tools.ts'

const ENTRIES = ['servers/fastify.ts', 'stores/sqlite/sqlite.ts', 'stores/sqlite/writer-thread.ts']
/** The beginnings of the paths that are left out. */
const LEFT_OUT = [
  // What describes, observes or notifies.
  ['openapi/', 'observability/', 'webhooks/', 'http/description', 'http/deliveries', 'http/attempts', 'http/monitor'],
  // What runs the work, or keeps its results, elsewhere.
  ['launchers/', 'blobs/', 'worker/runners/child-process/'],
  // Other ways in: other dialects, browsers, agents, timetables, operators and the command line.
  ['http/dialects/accepted', 'http/dialects/azure', 'http/cors', 'http/mcp', 'model/tool', 'schedules/'],
  ['operator/', 'http/admin/', 'stores/browsing', 'stores/sqlite/browse', 'stores/sqlite/dumps'],
  ['stores/paused-types', 'stores/operation-hooks', 'stores/operator-store'],
  // What an operation may do beside: waits, children, batches, retries.
  ['model/wait', 'service/events', 'http/wait-events', 'worker/attempt-waits', 'service/retries'],
  [
    'worker/family',
    'worker/attempt-children',
    'worker/child-key',
    'stores/list-all-children',
    'batches/',
    'http/batch',
  ],
].flat()

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
    if (source === undefined || found.has(file) || LEFT_OUT.some(it => file.startsWith(it))) return
    found.add(file)
    for (const { target, typeOnly } of source.imports) if (!typeOnly) visit(target)
  }
  for (const entry of entries) visit(entry)
  return [...found].sort()
}

function linesOf(files: readonly string[]): number {
  return files.reduce((sum, file) => sum + (sources.get(file)?.lines ?? 0), 0)
}
