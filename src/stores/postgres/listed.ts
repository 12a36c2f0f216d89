/** Finds the operations of a type and an owner by their statuses, in indexes that hold no other statuses. */

/** What is asked for of one status, each as a part of a statement. */
interface ListedOfOne {
  readonly type: string
  readonly owner: string
  /** Ids are smaller than this one. */
  readonly before: string
  /** The most ids of each status. */
  readonly limit: string
}

/** What is asked for, each as a part of a statement. */
export interface Listed extends ListedOfOne {
  /** An array of statuses. */
  readonly statuses: string
}

/**
 * Selects the newest ids of one status that is not an end, the newest first.
 *
 * The last column before the id is compared as a range, though it is one value. So the order is that of the index, and
 * the planner cannot read all operations by their ids, in search of an owner who has had none for long. A range of two
 * columns would not do: before PostgreSQL 18 the end of a range of whole rows is seen by its first column alone. For the
 * same reason no smallest id can be given: the scan would pass all smaller ones. A caller drops them from what is found.
 */
export function unfinishedIds(operations: string, status: 0 | 1, { type, owner, before, limit }: ListedOfOne): string {
  return `
    SELECT l.id FROM ${operations} l
    WHERE l.status = ${status} AND l.type = ${type}
    AND l.owner >= ${owner} AND (l.owner, l.id) < (${owner}, ${before}::uuid)
    ORDER BY l.owner DESC, l.id DESC LIMIT ${limit}`
}

/** Selects the newest ids of each status, in any order, as {@link unfinishedIds} does. */
export function listedIds(operations: string, listed: Listed): string {
  const { type, owner, statuses, before, limit } = listed
  const unfinished = (status: 0 | 1) => `
    (SELECT * FROM (${unfinishedIds(operations, status, listed)}) AS unfinished WHERE ${status} = ANY (${statuses}))`
  return `
    ${unfinished(0)}
    UNION ALL ${unfinished(1)}
    UNION ALL (SELECT found.id FROM unnest(${statuses}) AS asked (status) CROSS JOIN LATERAL (
      SELECT l.id FROM ${operations} l
      WHERE l.status >= 2 AND l.type = ${type} AND l.owner = ${owner}
      AND l.status >= asked.status AND (l.status, l.id) < (asked.status, ${before}::uuid)
      ORDER BY l.status DESC, l.id DESC LIMIT ${limit}) AS found)`
}
