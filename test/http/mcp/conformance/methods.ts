/** The prompts and resources that the conformance suite of MCP asks servers for, as methods of a user's own. */
import { ProblemError } from 'waybill'
import type { McpMethod } from 'waybill/mcp'

/** A red pixel. */
export const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=='

const text = (words: string) => ({ role: 'user', content: { type: 'text', text: words } })

const PROMPTS: Readonly<Record<string, (args: Readonly<Record<string, string>>) => readonly object[]>> = {
  test_simple_prompt: () => [text('This is a simple prompt for testing.')],
  test_prompt_with_arguments: ({ arg1, arg2 }) => [text(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`)],
  test_prompt_with_embedded_resource: ({ resourceUri: uri }) => [
    {
      role: 'user',
      content: {
        type: 'resource',
        resource: { uri, mimeType: 'text/plain', text: 'Embedded resource content for testing.' },
      },
    },
    text('Please process the embedded resource above.'),
  ],
  test_prompt_with_image: () => [
    { role: 'user', content: { type: 'image', data: PNG, mimeType: 'image/png' } },
    text('Please analyze the image above.'),
  ],
}
const ARGUMENTS: Readonly<Record<string, readonly string[]>> = {
  test_prompt_with_arguments: ['arg1', 'arg2'],
  test_prompt_with_embedded_resource: ['resourceUri'],
}

/** The resource that clients subscribe to. An operation makes it. */
export const WATCHED = 'test://watched-resource'

const RESOURCES = [
  { uri: WATCHED, mimeType: 'text/plain', text: 'This is the content of the watched resource.' },
  { uri: 'test://static-text', mimeType: 'text/plain', text: 'This is the content of the static text resource.' },
  { uri: 'test://static-binary', mimeType: 'image/png', blob: PNG },
]

function resource(uri: string): object {
  const [, id] = /^test:\/\/template\/([^/]+)\/data$/.exec(uri) ?? []
  if (id !== undefined) {
    const data = { id, templateTest: true, data: `Data for ID: ${id}` }
    return { uri, mimeType: 'application/json', text: JSON.stringify(data) }
  }
  const found = RESOURCES.find(known => known.uri === uri)
  if (found !== undefined) return found
  throw new ProblemError({ status: 404, title: 'There is no such resource' })
}

export const capabilities = { prompts: {}, resources: {}, completions: {} }

export const methods: Readonly<Record<string, McpMethod>> = {
  'prompts/list': () => ({
    prompts: Object.keys(PROMPTS).map(name => ({
      name,
      description: `The prompt ${name}.`,
      arguments: (ARGUMENTS[name] ?? []).map(argument => ({ name: argument, required: true })),
    })),
  }),
  'prompts/get': ({ name, arguments: args }) => {
    const messages = PROMPTS[`${name}`]?.((args ?? {}) as Record<string, string>)
    if (messages === undefined) throw new ProblemError({ status: 404, title: 'There is no such prompt' })
    return { messages }
  },
  'resources/list': () => ({
    resources: RESOURCES.map(({ uri, mimeType }) => ({ uri, mimeType, name: uri, description: 'A fixture.' })),
  }),
  'resources/templates/list': () => ({
    resourceTemplates: [{ uriTemplate: 'test://template/{id}/data', name: 'data', mimeType: 'application/json' }],
  }),
  'resources/read': ({ uri }) => ({ contents: [resource(`${uri}`)] }),
  'completion/complete': () => ({ completion: { values: [], hasMore: false } }),
}
