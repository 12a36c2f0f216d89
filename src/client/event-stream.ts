import { SILENCE_TIMEOUT_MS } from './limits.ts'
import { withTimeout } from './retry.ts'

/**
 * Reads the data of each `status` event from a stream of server-sent events (WHATWG HTML, 9.2.6). Ends when the stream
 * ends, breaks or is silent for 45 s. A response that is not such a stream yields nothing.
 */
export async function* readStatuses(response: Response | undefined): AsyncGenerator<string> {
  if (!response?.body) return
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
  const stop = () => reader.cancel().catch(() => {})
  let rest = ''
  try {
    // The first turn has no text yet.
    for (
      let value: string | undefined = '';
      value !== undefined;
      { value } = await withTimeout(SILENCE_TIMEOUT_MS, reader.read(), stop)
    ) {
      const blocks = (rest + value).split(/\r?\n\r?\n|\r\r/)
      rest = blocks.pop() ?? ''
      // Without the flag m and without `.`: they take U+2028, which JSON may contain, for the end of a line.
      const statuses = blocks.filter(block => /(^|[\r\n])event: ?status([\r\n]|$)/.test(block))
      // The data is JSON, in which line breaks between the lines have no meaning.
      yield* statuses.map(block => block.replace(/(^|[\r\n]+)(data: ?|[^\r\n]*)/g, ''))
    }
  } catch {
    // It broke.
  } finally {
    void stop()
  }
}
