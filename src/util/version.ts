import { readFileSync } from 'node:fs'

/** The version of this package, from its manifest; `unknown` where a bundler has left that behind. */
export function packageVersion(): string {
  try {
    const manifest = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
    return (JSON.parse(manifest) as { readonly version: string }).version
  } catch {
    return 'unknown'
  }
}
