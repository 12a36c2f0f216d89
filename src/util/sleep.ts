/** Resolves after a time, in milliseconds, and keeps no process alive meanwhile. */
export function sleepUnref(ms: number): Promise<void> {
  return new Promise(resolve => void setTimeout(resolve, ms).unref())
}
