/** Makes untrusted text safe for a terminal. */

/** Untrusted text on one line, without control characters. */
export function plain(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, ' ').trim()
}
