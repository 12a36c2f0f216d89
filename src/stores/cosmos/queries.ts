/**
 * Every query of the store, except `besidesOf`, whose length varies. Their conditions use only `c.by`, so nothing else
 * must be indexed. (`ahead`, `holdingsOf` and `holders` also read other members of the items that they find.) A query
 * that sorts has a condition on the property by which it sorts, so that the index of this property gives the results in
 * order. With conditions only on other properties, the service would read every item that has the sorted property.
 */

export type Parameters = Readonly<Record<string, string | number>>

interface Query {
  readonly text: string
  /** A query that sorts across partitions needs a query plan; this makes the SDK request it first. */
  readonly ordered: boolean
}

const READY = 'FROM c WHERE c.by.queue > @after AND c.by.queue < @before AND c.by.due <= @now'

const HOLDING = ['id', 'type', 'status', 'attempt', 'holder', 'execution', 'engine', 'cancelRequested']
const HELD = 'FROM c WHERE c.by.held > @after'
const HOLDING_FIELDS = HOLDING.map(field => `c.record.${field}`).join(', ')

export const QUERIES = {
  ready: ordered(`SELECT * ${READY} ORDER BY c.by.queue ASC`),
  readyIds: ordered(`SELECT c.id, c.by.at ${READY} ORDER BY c.by.queue ASC`),
  readyCount: count(READY),
  runningCount: count('FROM c WHERE c.by.running = @type'),
  durations: newestFirst('c.by.ms', 'done'),
  list: newestFirst('c.record', 'scope'),
  listByStatus: newestFirst('c.record', 'state'),
  browse: newestFirst('c.record', 'id'),
  browseByStatus: newestFirst('c.record', 'status'),
  dump: ordered('SELECT * FROM c WHERE c.by.id > @after ORDER BY c.by.id ASC'),
  unfinished: count('FROM c WHERE c.by.open = @scope'),
  holdings: ordered(`SELECT ${HOLDING_FIELDS} ${HELD} ORDER BY c.by.held ASC`),
  holdingsOf: ordered(`SELECT ${HOLDING_FIELDS} ${HELD} AND c.record.holder = @holder ORDER BY c.by.held ASC`),
  holders: plain(`SELECT VALUE c.record.holder ${HELD} AND c.record.status = 'running'`),
  webhooksDue: ordered('SELECT VALUE c.record FROM c WHERE c.by.webhook > @after ORDER BY c.by.webhook ASC'),
  familyDue: ordered('SELECT VALUE c.record FROM c WHERE c.by.family > @after ORDER BY c.by.family ASC'),
  openChildren: inOrder('openChild'),
  endedChildren: inOrder('endedChild'),
  countOpenChildren: count(`FROM c WHERE ${between('openChild')}`),
  countEndedChildren: count(`FROM c WHERE ${between('endedChild')}`),
  expired: ordered('SELECT VALUE c.id FROM c WHERE c.by.deadline <= @now ORDER BY c.by.deadline ASC'),
  ahead: ordered(
    'SELECT VALUE c.id FROM c WHERE c.by.due > @now AND c.record.updatedAt > @ahead ORDER BY c.by.due ASC',
  ),
  keyed: ordered('SELECT VALUE c.record FROM c WHERE c.by.keyed <= @now ORDER BY c.by.keyed ASC'),
  purgeable: ordered('SELECT * FROM c WHERE c.by.purge <= @now ORDER BY c.by.purge ASC'),
  stranded: ordered('SELECT * FROM c WHERE c.by.arriving <= @before ORDER BY c.by.arriving ASC'),
} as const satisfies Record<string, Query>

export type QueryName = keyof typeof QUERIES
export type CountName = 'readyCount' | 'runningCount' | 'unfinished' | 'countOpenChildren' | 'countEndedChildren'

function plain(text: string): Query {
  return { text, ordered: false }
}

/** The SDK adds up the counts of the partitions, for which it needs a plan too. */
function count(from: string): Query {
  return { text: `SELECT VALUE COUNT(1) ${from}`, ordered: true }
}

type ChildProperty = 'openChild' | 'endedChild'

function inOrder(property: ChildProperty): Query {
  return ordered(`SELECT VALUE c.id FROM c WHERE ${between(property)} ORDER BY c.by.${property} ASC`)
}

function between(property: ChildProperty): string {
  return `c.by.${property} > @after AND c.by.${property} < @before`
}

function newestFirst(selected: string, property: 'id' | 'scope' | 'state' | 'status' | 'done'): Query {
  const by = `c.by.${property}`
  return ordered(`SELECT VALUE ${selected} FROM c WHERE ${by} > @after AND ${by} < @before ORDER BY ${by} DESC`)
}

function ordered(text: string): Query {
  return { text, ordered: true }
}
