/** What the environment sets. A value that cannot be right ends the program with one line that says how to cure it. */
const env = (name: string, byDefault: string) => process.env[name] || byDefault

export const HOST = env('HOST', '127.0.0.1')
/** Whether only this machine reaches the API. */
export const IS_LOCAL = ['127.0.0.1', '::1', 'localhost'].includes(HOST)
export const PORT = whole('PORT', '3000', 0, 65_535)
/** Where orders are kept. */
export const STORE = env('WAYBILL_STORE', 'sqlite:./data/orders.db')
/**
 * Who does the work: child processes, the API's own event loop, one process, one Container Apps execution or one
 * Kubernetes Job for each order, started by a launcher; or none of the API's, as where `waybill work` runs elsewhere.
 */
export const RUN = oneOf('WAYBILL_RUN', [
  'children',
  'inline',
  'process',
  'container-apps',
  'storage-queue',
  'kubernetes',
  'none',
] as const)
/** How many orders are worked on at once. The simulated work only waits, so a large number fits on one core. */
export const CONCURRENCY = whole('WAYBILL_CONCURRENCY', '16', 1, 1000)
/** How long the work on an order takes, in milliseconds; undefined: a random time of up to 30 s. */
export const PROCESSING_MS = process.env.ORDER_PROCESSING_MS
  ? whole('ORDER_PROCESSING_MS', '', 0, 86_400_000)
  : undefined

/** What some ways to run need to know. */
export function required(name: string): string {
  return process.env[name] || fail(`Set ${name}, which WAYBILL_RUN=${RUN} needs.`)
}

/**
 * What is made of a setting; where that fails, so does the program.
 *
 * @param what is set, such as `WAYBILL_QUEUE=orders`
 */
export function usable<Made>(what: string, cure: string, make: () => Made): Made {
  try {
    return make()
  } catch (error) {
    return fail(`${what} cannot be used: ${sentence(error as Error)} ${cure}.`)
  }
}

/** What an error says, on one line. That of a connection tried in several ways says nothing itself. */
export function sentence(error: Error): string {
  if (error.message === '' && error instanceof AggregateError) return error.errors.map(sentence).join(' ')
  const [line = ''] = error.message.split('\n')
  return /[.!?]$/.test(line) ? line : `${line}.`
}

/** Ends the program with a message for people. */
export function fail(message: string): never {
  console.error(message)
  process.exit(1)
}

function whole(name: string, byDefault: string, min: number, max: number): number {
  const text = env(name, byDefault)
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN
  if (value >= min && value <= max) return value
  return fail(`${name}=${text} cannot be used: set ${name} to a whole number from ${min} to ${max}.`)
}

function oneOf<Value extends string>(name: string, values: readonly [Value, ...Value[]]): Value {
  const text = env(name, values[0])
  const value = values.find(it => it === text)
  return value ?? fail(`${name}=${text} cannot be used: set ${name} to one of ${values.join(', ')}.`)
}
