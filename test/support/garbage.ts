/** Which objects are still in memory. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** As it may happen at any moment. */
export function collectGarbage(): void {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
}

/** Counts the objects that are kept in memory. */
export async function countKept(objects: readonly WeakRef<object>[]): Promise<number> {
  // What was referred to in this turn is kept until its end.
  await new Promise(resolve => setImmediate(resolve))
  collectGarbage()
  return objects.filter(object => object.deref() !== undefined).length
}
