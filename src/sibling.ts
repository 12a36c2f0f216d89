/**
 * The URL of a module beside the caller's, to start a thread or a process with. The source runs
 * as `.ts` and the package as `.js`; a literal name would be wrong in one of the two.
 */
export function sibling(importMetaUrl: string, name: string): URL {
  const extension = importMetaUrl.endsWith('.ts') ? '.ts' : '.js'
  return new URL(`./${name}${extension}`, importMetaUrl)
}
