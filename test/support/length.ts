/**
 * How long a suite is that repeats the same in variations, or draws at random: `npm test` takes the short one of each,
 * and `npm run test:long` the whole. Files that import this module are what `npm run test:long` runs.
 */
export function atLength<Value>(short: Value, long: Value): Value {
  return process.env.WAYBILL_LONG === undefined ? short : long
}

/** Defines tests that only `npm run test:long` runs: further cases of what a short suite shows in one. */
export function inLongForm(define: () => void): void {
  atLength(() => {}, define)()
}
