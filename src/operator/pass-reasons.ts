/** The reasons why a bulk run passes over a matching operation, and their descriptions. It is safe in a browser. */
export const PASS_REASONS = {
  unfinished: 'not finished',
  // A batch that has failed items can be retried.
  completed: 'completed',
  retried: 'retried already',
  // To retry these, too, would run them twice.
  'with-parent': 'run again by the retry of their parent',
  'unknown-type': 'of a type that is not known here',
  ended: 'finished',
  canceling: 'asked to cancel already',
  'no-webhook': 'without a webhook',
  deleted: 'deleted',
} as const

export type PassReason = keyof typeof PASS_REASONS

/** The sentence of a preview about the operations that are passed over; undefined if there are none. */
export function passedOverText(
  passedOver: readonly { readonly reason: PassReason; readonly count: number }[],
  format: (count: number) => string = String,
): string | undefined {
  if (passedOver.length === 0) return undefined
  return `Passed over: ${passedOver.map(({ reason, count }) => `${format(count)} ${PASS_REASONS[reason]}`).join(', ')}.`
}
