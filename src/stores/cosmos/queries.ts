/**
 * Every query of the store, with one exception (`besidesOf`), whose length varies. They look at `c.by` alone, so that nothing
 * else has to be indexed (`ahead`, which is rare, also reads what that finds), and sort by one property, so that no composite index is needed.
 */

export type Parameters = Readonly<Record<string, string | number>>

interface Query {
  readonly text: string
  /** A query that sorts over partitions needs a plan: the SDK is told to ask for it first. */
  readonly ordered: boolean
}

const READY = 'FROM c WHERE c.by.queue = @type AND c.by.due <= @now'
const MINE = 'SELECT VALUE c.record FROM c WHERE c.by.scope = @scope AND c.by.id < @before'
const NEWEST_FIRST = 'ORDER BY c.by.id DESC'

const HOLDING = ['id', 'type', 'status', 'attempt', 'holder', 'execution', 'engine', 'cancelRequested']
const HOLDING_FIELDS = HOLDING.map(field => `c.record.${field}`).join(', ')

export const QUERIES = {
  ready: ordered(`SELECT * ${READY} ORDER BY c.by.place ASC`),
  readyIds: ordered(`SELECT c.id, c.by.at ${READY} ORDER BY c.by.place ASC`),
  readyCount: plain(`SELECT VALUE 1 ${READY}`),
  runningCount: plain('SELECT VALUE 1 FROM c WHERE c.by.running = @type'),
  durations: ordered('SELECT VALUE c.by.ms FROM c WHERE c.by.done = @type ORDER BY c.by.doneAt DESC'),
  list: ordered(`${MINE} ${NEWEST_FIRST}`),
  listByStatus: ordered(`${MINE} AND c.by.status = @status ${NEWEST_FIRST}`),
  browse: ordered(`SELECT VALUE c.record FROM c WHERE c.by.id < @before ${NEWEST_FIRST}`),
  browseByStatus: ordered(
    `SELECT VALUE c.record FROM c WHERE c.by.id < @before AND c.by.status = @status ${NEWEST_FIRST}`,
  ),
  dump: ordered('SELECT * FROM c WHERE c.by.id > @after ORDER BY c.by.id ASC'),
  unfinished: plain('SELECT VALUE 1 FROM c WHERE c.by.open = @scope'),
  holdings: plain(`SELECT ${HOLDING_FIELDS} FROM c WHERE c.by.held = true`),
  webhooksDue: ordered('SELECT VALUE c.record FROM c WHERE c.by.webhook = true ORDER BY c.by.id ASC'),
  expired: ordered('SELECT VALUE c.id FROM c WHERE c.by.deadline <= @now ORDER BY c.by.deadline ASC'),
  ahead: ordered(
    'SELECT VALUE c.id FROM c WHERE c.by.due > @now AND c.record.updatedAt > @ahead ORDER BY c.by.due ASC',
  ),
  keyed: ordered('SELECT VALUE c.record FROM c WHERE c.by.keyed <= @now ORDER BY c.by.keyed ASC'),
  purgeable: ordered('SELECT * FROM c WHERE c.by.purge <= @now ORDER BY c.by.purge ASC'),
  stranded: ordered('SELECT * FROM c WHERE c.by.arriving <= @before ORDER BY c.by.arriving ASC'),
} as const satisfies Record<string, Query>

export type QueryName = keyof typeof QUERIES

function plain(text: string): Query {
  return { text, ordered: false }
}

function ordered(text: string): Query {
  return { text, ordered: true }
}
