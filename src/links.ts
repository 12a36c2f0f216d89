/** Where the resources of an operation are. */
import type { Links } from './model/protocol.ts'

/** The URLs of an operation below a base, which is a mount prefix or a public URL. */
export function linksOf(base: string, type: string, id: string): Links {
  const status = `${base}/${type}/status/${id}`
  return { status, result: `${base}/${type}/${id}`, operation: `${base}/operations/${id}`, events: status }
}
