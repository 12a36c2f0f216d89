/** Moments up to which an answer is of use, by the monotonic clock. */

/** An answer did not come in time. */
export class LateError extends Error {
  override readonly name = 'LateError'
}

/** Settles as the promise does, or rejects with a {@link LateError} at the time. */
export async function before<T>(until: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    const reason = () => reject(new LateError('PostgreSQL did not answer in time.'))
    timer = setTimeout(reason, Math.max(0, until - performance.now())).unref()
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
