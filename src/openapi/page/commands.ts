/** Commands to try an API with: a shell with curl, and nothing else. */
import type { OpenApiDocument, OperationObject } from '../model.ts'

/** One thing to try. */
export interface Command {
  readonly title: string
  readonly text: string
}

const UUID = '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}'

/** Sets where the API is. Without a public URL that is for the reader to say: a request's Host is nothing to rely on. */
export function whereCommand(document: OpenApiDocument): Command {
  const url = document.servers[0]?.url ?? '/'
  if (URL.canParse(url)) return { title: 'Say where the API is', text: `API=${quoted(url)}` }
  return {
    title: 'Say where you reach the API',
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
    { title: 'Send it: 202, and the id of your operation', text: sendAndKeepId(name, submit) },
    { title: 'Ask how it is; wait up to 30 s for its end', text: get(`/${name}/status/$ID`, "-H 'Prefer: wait=30'") },
    redirects
      ? { title: 'Follow 303 to the result', text: `curl -sSL "$API/${name}/status/$ID"` }
      : { title: 'Ask again: the result', text: get(`/${name}/status/$ID`) },
    { title: 'Read the result where it stays', text: get(`/${name}/$ID`) },
    {
      title: 'See each change as it happens',
      text: `curl -sSN "$API/${name}/status/$ID" -H 'Accept: text/event-stream'`,
    },
    {
      title: 'Or all in one: the result, if it is there within 30 s',
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

/** A word for the shell, whatever is in it. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}
