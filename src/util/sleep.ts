/** Resolves after a time, in milliseconds. Its timer does not keep the process alive. */
export function sleepUnref(ms: number): Promise<void> {
  return new Promise(resolve => void setTimeout(resolve, ms).unref())
}
