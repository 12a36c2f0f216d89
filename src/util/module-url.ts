import { existsSync } from 'node:fs'

/**
 * The URL of a module in the caller's folder, to start a thread or a process from. Modules end in `.ts` in the source
 * and in `.js` in the package, so a literal file name would be wrong in one of them.
 *
 * @throws when the file is missing, because a bundler has moved the caller
 */
export function siblingModuleUrl(importMetaUrl: string, name: string): URL {
  const extension = importMetaUrl.endsWith('.ts') ? '.ts' : '.js'
  const url = new URL(`./${name}${extension}`, importMetaUrl)
  if (existsSync(url)) return url
  throw new Error(
    `Waybill needs its file ${url.href}, which is missing. If a bundler has packed Waybill into the program, leave it ` +
      'out of the bundle, since Waybill starts threads and processes from files: esbuild --packages=external.',
  )
}
