/**
 * The tests of the conformance suite of stores that take a hundred operations and more, or the state machine from each
 * of its states. SQLite in memory has them in every run; with a server, each operation is several requests.
 */
export const LONG_STORE_TESTS = new RegExp(
  [
    '^(?!a running operation takes).* takes the changes that the state machine lets through',
    'back keeps none of any number of retries waiting',
    'shows the first of a long queue',
    'remembers a hundred durations',
    'accepts many at once',
    'of many attempts the history keeps the last ones',
    'pages stay right while operations come, change and go',
    'operators find nothing by a string that nothing has',
    'keeps large and odd inputs to the letter',
    'keeps owners and keys to the letter, in all of Unicode',
    'sweeps no more than its limit of each',
    'what is changed after a dump is as it was once it is restored',
  ].join('|'),
)
