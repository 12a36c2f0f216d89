/**
 * Request units, approximately. Published: 1 for a point read of 1 KB and 10 for one of 100 KB; a replacement is about twice a
 * creation. The rest is fitted to charges that are commonly reported: about 5 for a creation of 1 KB with nothing
 * indexed and 0.15 more for each indexed property, about 2.8 for a query that finds little in a partition.
 */
import type { Json } from './collection.ts'

/** The indexing policy that docs/deploy/cosmos.md recommends: `/by/*` alone. */
const INDEXED = 'by'

function kilobytes(body: unknown): number {
  return Buffer.byteLength(JSON.stringify(body) ?? '') / 1024
}

export function readCharge(body: unknown): number {
  return 1 + Math.max(0, kilobytes(body) - 1) / 11
}

export function createCharge(body: Json): number {
  const indexed = Object.keys((body[INDEXED] as Json | undefined) ?? {}).length
  return 5 + 0.15 * indexed + 5 * Math.max(0, kilobytes(body) - 1)
}

export function replaceCharge(body: Json): number {
  return 2 * createCharge(body)
}

/** A write that is refused has been looked up. */
export const REFUSED_CHARGE = 1.2

/** @param searched how many items the query walked through to find its results */
export function queryCharge(results: readonly unknown[], searched: number): number {
  return 2.8 + 0.02 * results.length + 0.05 * Math.max(0, searched - results.length) + kilobytes(results) / 20
}

export function feedCharge(documents: readonly unknown[]): number {
  return 1 + kilobytes(documents) / 11
}
