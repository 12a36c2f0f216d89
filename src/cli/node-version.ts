/** Which versions of Node the command runs under. It imports nothing, so that any version can read it. */

/** The oldest version for Waybill. */
export const MIN_NODE = '22.13'

/** The oldest version that runs `.ts` files directly. */
export const MIN_NODE_FOR_TYPESCRIPT = '22.18'

/** Whether a version, by default that of this process, is the other one or newer. Both are `major.minor`, and perhaps more. */
export function nodeIsAtLeast(oldest: string, version: string = process.versions.node): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [oldestMajor = 0, oldestMinor = 0] = oldest.split('.').map(Number)
  return major > oldestMajor || (major === oldestMajor && minor >= oldestMinor)
}
