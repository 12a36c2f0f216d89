/** The tools that the conformance suite of MCP asks servers for. */
import { defineOperation } from 'waybill'
import { z } from 'zod'

const text = z.string()

/** Sync-only: never a task. */
export const greet = defineOperation({
  name: 'greet',
  input: z.object({ name: z.string().default('World') }),
  tool: { task: 'forbidden', description: 'Greets.', annotations: { readOnlyHint: true } },
})

export const slowCompute = defineOperation({
  name: 'slow-compute',
  input: z.object({ seconds: z.number().min(0).max(600), label: z.string() }),
  tool: { name: 'slow_compute', description: 'Sleeps for some seconds.' },
})

export const failingJob = defineOperation({
  name: 'failing-job',
  attempts: 1,
  tool: { name: 'failing_job', description: 'Fails after a second.', task: 'required' },
})

export const protocolErrorJob = defineOperation({
  name: 'protocol-error-job',
  attempts: 1,
  tool: { name: 'protocol_error_job', description: 'Meets a fault.', task: 'required' },
})

export const simpleText = defineOperation({
  name: 'simple-text',
  output: text,
  tool: { name: 'test_simple_text', description: 'Returns text.' },
})

export const errorHandling = defineOperation({
  name: 'error-handling',
  attempts: 1,
  tool: { name: 'test_error_handling', description: 'Returns an error.' },
})

export const withProgress = defineOperation({
  name: 'with-progress',
  output: text,
  tool: { name: 'test_tool_with_progress', description: 'Reports its progress.' },
})

export const image = defineOperation({
  name: 'image',
  tool: { name: 'test_image_content', description: 'Returns an image.' },
})

export const audio = defineOperation({
  name: 'audio',
  tool: { name: 'test_audio_content', description: 'Returns a sound.' },
})

export const embeddedResource = defineOperation({
  name: 'embedded-resource',
  tool: { name: 'test_embedded_resource', description: 'Returns a resource.' },
})

export const withLogging = defineOperation({
  name: 'with-logging',
  output: text,
  exposeLogs: true,
  tool: { name: 'test_tool_with_logging', description: 'Logs what it does.' },
})

export const streaming = defineOperation({
  name: 'streaming',
  tool: { name: 'test_streaming_elicitation', description: 'Is held open for a while.' },
})

export const logging = defineOperation({
  name: 'logging',
  exposeLogs: true,
  tool: { name: 'test_logging_tool', description: 'Logs what it does.' },
})

/** As text: an object with a member `then` looks like a promise. */
const CONDITION = `{
  "if": { "properties": { "contactMethod": { "const": "phone" } }, "required": ["contactMethod"] },
  "then": { "required": ["phone"] },
  "else": { "required": ["email"] }
}`

export const jsonSchema = defineOperation({
  name: 'json-schema',
  input: {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    type: 'object',
    $defs: {
      address: {
        $anchor: 'addressDef',
        type: 'object',
        properties: { street: { type: 'string' }, city: { type: 'string' } },
      },
    },
    properties: {
      name: { type: 'string' },
      address: { $ref: '#/$defs/address' },
      contactMethod: { type: 'string', enum: ['phone', 'email'] },
      phone: { type: 'string' },
      email: { type: 'string' },
    },
    allOf: [{ anyOf: [{ required: ['phone'] }, { required: ['email'] }] }],
    ...(JSON.parse(CONDITION) as object),
    additionalProperties: false,
  },
  tool: { name: 'json_schema_2020_12_tool', description: 'Takes much of JSON Schema.' },
})

export const confirmDelete = defineOperation({
  name: 'confirm-delete',
  input: z.object({ filename: z.string() }),
  tool: { name: 'confirm_delete', description: 'Asks before it deletes.', task: 'required' },
})

export const multiInput = defineOperation({
  name: 'multi-input',
  tool: { name: 'multi_input', description: 'Asks two questions at once.', task: 'required' },
})

export const withTask = defineOperation({
  name: 'with-task',
  tool: { name: 'test_tool_with_task', description: 'Asks, and works then.', task: 'required', asksFirst: true },
})

/** A tool for clients with a model alone. */
export const missingCapability = defineOperation({
  name: 'missing-capability',
  output: text,
  tool: { name: 'test_missing_capability', description: 'Asks the model of the client.', requires: ['sampling'] },
})

export const sampling = defineOperation({
  name: 'sampling',
  input: z.object({ prompt: z.string() }),
  output: text,
  tool: { name: 'test_sampling', description: 'Asks the model of the client.', requires: ['sampling'] },
})

export const mixedContent = defineOperation({
  name: 'mixed-content',
  output: z.object({ text: z.string(), picture: z.base64(), data: z.record(z.string(), z.json()) }),
  tool: {
    name: 'test_multiple_content_types',
    description: 'Returns text, a picture and a resource.',
    content: ({ text, picture, data }) => [
      { type: 'text', text },
      { type: 'image', data: picture, mimeType: 'image/png' },
      {
        type: 'resource',
        resource: {
          uri: 'test://mixed-content-resource',
          mimeType: 'application/json',
          text: JSON.stringify(data),
        },
      },
    ],
  },
})

export const elicitation = defineOperation({
  name: 'elicitation',
  input: z.object({ message: z.string() }),
  tool: { name: 'test_elicitation', description: 'Asks the user.' },
})

export const elicitationDefaults = defineOperation({
  name: 'elicitation-defaults',
  tool: { name: 'test_elicitation_sep1034_defaults', description: 'Asks with defaults.' },
})

export const elicitationEnums = defineOperation({
  name: 'elicitation-enums',
  tool: { name: 'test_elicitation_sep1330_enums', description: 'Asks for choices.' },
})

/** What the resource to watch is made of. It is not a tool. */
export const watched = defineOperation({ name: 'watched' })
