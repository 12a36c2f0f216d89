import { existsSync } from 'node:fs'

/**
 * The URL of a module beside the caller's, to start a thread or a process with. The source runs
 * as `.ts` and the package as `.js`; a literal name would be wrong in one of the two.
 *
 * @throws when it is not there, since a bundler has moved the caller
 */
export function sibling(importMetaUrl: string, name: string): URL {
  const extension = importMetaUrl.endsWith('.ts') ? '.ts' : '.js'
  const url = new URL(`./${name}${extension}`, importMetaUrl)
  if (existsSync(url)) return url
  throw new Error(
    `Waybill needs its file ${url.href}, which is missing. If a bundler has packed Waybill into the program, leave it ` +
      'out of the bundle, since Waybill starts threads and processes from files: esbuild --packages=external.',
  )
}
