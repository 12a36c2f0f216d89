/** The client as a page loads it. */
import { rolldown } from 'rolldown'

const CLIENT = new URL('../../src/client/client.ts', import.meta.url).pathname

/** Bundles the client into one module for browsers. */
export async function bundleClient(): Promise<string> {
  const bundle = await rolldown({ input: CLIENT, platform: 'browser' })
  const { output } = await bundle.generate({ format: 'esm' })
  await bundle.close()
  return output[0].code
}
