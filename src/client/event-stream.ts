/** One event of a stream of server-sent events. */
export interface StreamEvent {
  /** Each field ends in a line feed, where there is one. */
  readonly event: string
  readonly data: string
  readonly id: string
}

/** The server comments every 15 s; a stream silent for longer is held back by a proxy, or dead. */
const SILENCE_MS = 45_000

/**
 * Reads server-sent events (WHATWG HTML, 9.2.6). Ends where the stream ends, breaks, or falls
 * silent for 45 s: to the reader they are the same, it has to ask again.
 */
export async function* readEvents({ body }: Response): AsyncGenerator<StreamEvent> {
  if (!body) return
  const reader = body.pipeThrough(new TextDecoderStream()).getReader()
  const stop = () => reader.cancel().catch(() => {})
  let rest = ''
  try {
    for (;;) {
      const timer = setTimeout(stop, SILENCE_MS)
      const chunk = await reader.read().catch(() => undefined)
      clearTimeout(timer)
      if (!chunk?.value) return
      const blocks = (rest + chunk.value).split(/\r?\n\r?\n|\r\r/)
      rest = blocks.pop() ?? ''
      yield* blocks.map(parseEvent)
    }
  } finally {
    void stop()
  }
}

function parseEvent(block: string): StreamEvent {
  const fields = { event: '', data: '', id: '' }
  // Not `^` and `.`: they take U+2028, which JSON may hold, for the end of a line.
  for (const [, name, text] of block.matchAll(/(?:^|[\r\n])(event|data|id): ?([^\r\n]*)/g)) {
    fields[name as keyof StreamEvent] += `${text}\n`
  }
  return fields
}
