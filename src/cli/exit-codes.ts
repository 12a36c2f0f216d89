/** The exit codes of every command, and their meanings. */

export const EXIT_CODES = {
  0: 'success',
  1: 'failure',
  2: 'invalid arguments',
  3: 'the operation failed',
  4: 'the operation was canceled',
} as const

export type ExitCode = keyof typeof EXIT_CODES

/** The exit codes for the end of an operation that was waited for. */
export const END_CODES: Readonly<Record<string, ExitCode>> = { completed: 0, failed: 3, canceled: 4 }
