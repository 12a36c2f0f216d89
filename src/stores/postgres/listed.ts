/** Finds the operations of a type and an owner by their statuses, in indexes that hold no other statuses. */

/** What is asked for, each as a part of a statement. */
export interface Listed {
  readonly type: string
  readonly owner: string
  /** An array of statuses. */
  readonly statuses: string
  /** Ids are smaller than this one. */
  readonly before: string
  /** The most ids of each status. */
  readonly limit: string
}

/**
 * Selects the newest ids of each status, in any order.
 *
 * The last column before the id is compared as a range, though it is one value. So the order is that of the index, and
 * the planner cannot read all operations by their ids, in search of an owner who has had none for long. A range of two
 * columns would not do: before PostgreSQL 18 the end of a range of whole rows is seen by its first column alone. For the
 * same reason no smallest id can be given: the scan would pass all smaller ones. A caller drops them from what is found.
 */
export function listedIds(operations: string, { type, owner, statuses, before, limit }: Listed): string {
  const unfinished = (status: number) => `
    (SELECT l.id FROM ${operations} l
    WHERE l.status = ${status} AND ${status} = ANY (${statuses}) AND l.type = ${type}
    AND l.owner >= ${owner} AND (l.owner, l.id) < (${owner}, ${before}::uuid)
    ORDER BY l.owner DESC, l.id DESC LIMIT ${limit})`
  return `
    ${unfinished(0)}
    UNION ALL ${unfinished(1)}
    UNION ALL (SELECT found.id FROM unnest(${statuses}) AS asked (status) CROSS JOIN LATERAL (
      SELECT l.id FROM ${operations} l
      WHERE l.status >= 2 AND l.type = ${type} AND l.owner = ${owner}
      AND l.status >= asked.status AND (l.status, l.id) < (asked.status, ${before}::uuid)
      ORDER BY l.status DESC, l.id DESC LIMIT ${limit}) AS found)`
}
