/** Shell commands to try an API with. They need curl and nothing else. */
import type { OpenApiDocument, OperationObject } from '../model.ts'

/** One command with its title. */
export interface Command {
  readonly title: string
  readonly text: string
}

const UUID = '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}'

/** Sets the URL of the API. Without a public URL the reader must set it, since the Host of a request cannot be trusted. */
export function whereCommand(document: OpenApiDocument): Command {
  const url = document.servers[0]?.url ?? '/'
  if (URL.parse(url) !== null) return { title: 'Set the URL of the API', text: `API=${quoted(url)}` }
  return {
    title: 'Set the URL at which you reach the API',
    text: `API=${quoted(`http://localhost:3000${url.replace(/\/$/, '')}`)}`,
  }
}

/** The commands for one operation type, in the order of an operation's life. */
export function commandsFor(name: string, document: OpenApiDocument): readonly Command[] {
  const submit = document.paths[`/${name}`]?.post
  if (submit === undefined) return []
  const redirects = document.paths[`/${name}/status/{id}`]?.get?.responses[303] !== undefined
  const listed = document.paths[`/${name}`]?.get !== undefined
  return [
    { title: 'Start an operation: 202, and its id', text: sendAndKeepId(name, submit) },
    {
      title: 'Get its status, and wait up to 30 s for it to finish',
      text: get(`/${name}/status/$ID`, "-H 'Prefer: wait=30'"),
    },
    redirects
      ? { title: 'Follow the 303 to the result', text: `curl -sSL "$API/${name}/status/$ID"` }
      : { title: 'Get its status again: now the result', text: get(`/${name}/status/$ID`) },
    { title: 'Get the result from its own URL', text: get(`/${name}/$ID`) },
    {
      title: 'Stream each change as it happens',
      text: `curl -sSN "$API/${name}/status/$ID" -H 'Accept: text/event-stream'`,
    },
    {
      title: 'All in one: start, and get the result if it is ready within 30 s',
      text: send(name, submit, "-H 'Prefer: wait=30'"),
    },
    { title: 'Cancel', text: `curl -isS -X DELETE "$API/${name}/status/$ID"` },
    ...(listed ? [{ title: 'List your operations', text: get(`/${name}?limit=10`) }] : []),
  ]
}

function get(path: string, ...options: readonly string[]): string {
  return ['curl', '-isS', `"$API${path}"`, ...options].join(' ')
}

function sendAndKeepId(name: string, submit: OperationObject): string {
  return [
    `ANSWER=$(${send(name, submit)})`,
    'echo "$ANSWER"',
    `ID=$(echo "$ANSWER" | grep -oE ${quoted(UUID)} | head -n 1)`,
  ].join('\n')
}

function send(name: string, submit: OperationObject, ...options: readonly string[]): string {
  const example = submit.requestBody?.content['application/json']?.example
  const body = example === undefined ? '@input.json' : quoted(JSON.stringify(example))
  const key = needsKey(submit) ? ['-H "Idempotency-Key: \\"$(date +%s)\\""'] : []
  const parts = ["-H 'Content-Type: application/json'", ...key, ...options, `-d ${body}`]
  return [`curl -isS "$API/${name}"`, ...parts].join(' \\\n  ')
}

function needsKey({ parameters = [] }: OperationObject): boolean {
  return parameters.some(one => 'name' in one && one.name === 'Idempotency-Key' && one.required === true)
}

/** Quotes any text as one word for the shell. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}
