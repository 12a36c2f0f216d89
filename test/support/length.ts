/**
 * How long a suite is that repeats the same in variations, or draws at random: `npm test` takes the short one of each,
 * and `npm run test:long` the whole. Files that import this module are what `npm run test:long` runs.
 */
export function atLength<Value>(short: Value, long: Value): Value {
  return process.env.WAYBILL_LONG === undefined ? short : long
}

/**
 * What defines a test, or several, if only `npm run test:long` runs them: `onlyLong(it)('…', …)`, or
 * `onlyLong(() => { … })()` for what also needs values. They are further cases of what a short suite shows in one.
 */
export function onlyLong<Define extends (...given: never[]) => unknown>(define: Define): Define {
  return atLength((() => {}) as unknown as Define, define)
}

/** What defines a test, without those that only the long form has: those whose names match. */
export function longIf<Define extends (name: string, ...given: never[]) => unknown>(
  left: RegExp,
  define: Define,
): Define {
  return ((name, ...given) => (left.test(name) ? onlyLong(define) : define)(name, ...given)) as Define
}
