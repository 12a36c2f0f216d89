import { SILENCE_TIMEOUT_MS } from './limits.ts'
import { withTimeout } from './retry.ts'

// Without the flag m and without `.`: they take U+2028, which JSON may contain, for the end of a line.
/** Matches an event named `status`. */
const STATUS = /(^|[\r\n])event: ?status([\r\n]|$)/
/** All of an event but its data, which is JSON: line breaks between its lines mean nothing. */
const ALL_BUT_DATA = /(^|[\r\n]+)(data: ?|[^\r\n]*)/g

/**
 * Reads the data of each `status` event from a stream of server-sent events (WHATWG HTML, 9.2.6). Ends when the stream
 * ends, breaks or is silent for 45 s. A response that is not such a stream has none.
 */
export async function* readStatuses(response: Response | undefined): AsyncGenerator<string> {
  if (!response?.body) return
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
  const stop = () => reader.cancel().catch(() => {})
  let rest = ''
  try {
    for (;;) {
      const { value } = await withTimeout(SILENCE_TIMEOUT_MS, reader.read(), stop).catch(() => ({ value: '' }))
      if (!value) return
      const blocks = (rest + value).split(/\r?\n\r?\n|\r\r/)
      rest = blocks.pop() ?? ''
      yield* blocks.filter(block => STATUS.test(block)).map(block => block.replace(ALL_BUT_DATA, ''))
    }
  } finally {
    void stop()
  }
}
