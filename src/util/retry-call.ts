/**
 * Repeats a call until it succeeds.
 *
 * @param onFailure decides about the next try. It waits as long as the pause must be, or throws to give up. `failures`
 * counts from 1
 */
export async function retry<T>(
  call: () => Promise<T>,
  onFailure: (error: unknown, failures: number) => Promise<void> | void,
): Promise<T> {
  for (let failures = 1; ; failures++) {
    try {
      return await call()
    } catch (error) {
      await onFailure(error, failures)
    }
  }
}
