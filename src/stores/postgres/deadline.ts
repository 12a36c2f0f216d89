/** Deadlines for answers, by the monotonic clock. */

/** An answer did not come in time. */
export class LateError extends Error {
  override readonly name = 'LateError'
}

/** Settles as the promise does, or rejects with a {@link LateError} at the deadline. Every statement uses it. */
export function before<T>(until: number, promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const late = () => reject(new LateError('PostgreSQL did not answer in time.'))
    const timer = setTimeout(late, Math.max(0, until - performance.now())).unref()
    promise.then(
      value => {
        clearTimeout(timer)
        resolve(value)
      },
      error => {
        clearTimeout(timer)
        reject(error)
      },
    )
  })
}
