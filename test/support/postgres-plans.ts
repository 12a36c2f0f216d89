/** What PostgreSQL does for a statement: its plan as it was run, and the pages it has read. */
import { escapeLiteral, type PoolClient } from 'pg'

export interface PlanNode {
  readonly 'Node Type': string
  readonly 'Relation Name'?: string
  readonly 'Index Name'?: string
  readonly 'Total Cost': number
  readonly 'Actual Rows': number
  readonly 'Actual Loops': number
  readonly 'Rows Removed by Filter'?: number
  readonly 'Shared Hit Blocks': number
  readonly 'Shared Read Blocks': number
  readonly Plans?: readonly PlanNode[]
}

/** A submission as a statement takes it: a plain one of the type `orders`. */
export function plainSubmission(id: string, owner: string) {
  return {
    id,
    type: 'orders',
    owner,
    priority: 0,
    input: '1',
    max_attempts: 1,
    max_lost: 1,
    retention: 1,
    idempotency_key: 'k',
  }
}

/** What a statement has read. */
export interface Explained {
  readonly plan: readonly PlanNode[]
  readonly pages: number
}

/** Runs a statement, and undoes what it has done. */
export async function explain(
  client: PoolClient,
  text: string,
  values: readonly unknown[],
  mode: string,
): Promise<Explained> {
  await client.query(`SET plan_cache_mode = ${mode}`)
  await client.query(`PREPARE it AS ${text}`)
  try {
    return await explainPrepared(client, 'it', values)
  } finally {
    await client.query('DEALLOCATE it')
  }
}

/** Runs a prepared statement, and undoes what it has done. */
export async function explainPrepared(
  client: Pick<PoolClient, 'query'>,
  name: string,
  values: readonly unknown[],
): Promise<Explained> {
  const given = values.length === 0 ? '' : `(${values.map(literal).join(', ')})`
  await client.query('BEGIN')
  try {
    const { rows } = await client.query(`EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE ${name}${given}`)
    const root = rows[0]['QUERY PLAN'][0].Plan as PlanNode
    return { plan: flatten(root), pages: root['Shared Hit Blocks'] + root['Shared Read Blocks'] }
  } finally {
    await client.query('ROLLBACK')
  }
}

function literal(value: unknown): string {
  if (value === null) return 'NULL'
  return escapeLiteral(Array.isArray(value) ? `{${value.join(',')}}` : String(value))
}

function flatten(node: PlanNode): PlanNode[] {
  return [node, ...(node.Plans ?? []).flatMap(flatten)]
}

export function isWholeTable(node: PlanNode): boolean {
  return node['Node Type'] === 'Seq Scan' && node['Relation Name'] === 'operations'
}

export function indexesOf(plan: readonly PlanNode[]): string[] {
  return [...new Set(plan.flatMap(node => node['Index Name'] ?? []))].sort()
}
