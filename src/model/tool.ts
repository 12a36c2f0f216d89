/** How an operation type is offered to agents, as a tool of the Model Context Protocol. */
import { BOOLEAN, type Check, type Checks, checkOptions, FUNCTION, oneOf, STRING } from './options.ts'

/** Hints about what a tool does. An agent decides whether it trusts them. */
interface ToolAnnotations {
  /** Whether it changes nothing. */
  readonly readOnlyHint?: boolean
  /** Whether it may destroy something. It means something only for a tool that changes something. */
  readonly destructiveHint?: boolean
  /** Whether a second call with the same arguments changes nothing more. */
  readonly idempotentHint?: boolean
  /** Whether it deals with the world outside of the service, such as the web. */
  readonly openWorldHint?: boolean
}

/**
 * A part of a result as the model sees it: text, an image, audio, a resource, or a link to one. `data` and `blob` are
 * Base64.
 */
export type ToolContent =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'image' | 'audio'; readonly data: string; readonly mimeType: string }
  | {
      readonly type: 'resource'
      readonly resource: ToolResource & ({ readonly text: string } | { readonly blob: string })
    }
  | ({ readonly type: 'resource_link'; readonly name: string; readonly description?: string } & ToolResource)

interface ToolResource {
  readonly uri: string
  readonly mimeType?: string
}

/**
 * Makes the content that a model sees from an output. Declared as a method: then TypeScript accepts a tool with any
 * output where one with the output `unknown` is expected.
 */
type ToContent<Output> = {
  content(output: Output): readonly ToolContent[] | Promise<readonly ToolContent[]>
}['content']

const CAPABILITIES = ['elicitation', 'sampling'] as const

/** A capability of a client that a tool may require. */
export type Requirement = (typeof CAPABILITIES)[number]

/** How an operation type is offered to agents. */
export interface ToolOptions<Output = unknown> {
  /** 1 to 128 letters, digits, `_`, `-` and `.`. A verb and its object, such as `place_order`, work best. Default: the name of the type. */
  readonly name?: string | undefined
  /** What people see instead of the name. Default: the name. */
  readonly title?: string | undefined
  /**
   * What it does and when to use it, for the model that chooses among tools. Waybill appends how long a call takes.
   * Default: a sentence with the name.
   */
  readonly description?: string | undefined
  /**
   * Hints about its effects: `readOnlyHint`, `destructiveHint`, `idempotentHint`, `openWorldHint`. Default: nothing.
   */
  readonly annotations?: ToolAnnotations | undefined
  /**
   * When a call becomes a task, for clients that know tasks. `optional`: when it takes longer than a moment. `required`:
   * always, and clients that do not know tasks cannot call it. `forbidden`: never; calls are held until the result is
   * there. Default `optional`.
   */
  readonly task?: 'optional' | 'required' | 'forbidden' | undefined
  /**
   * Whether the handler begins with a question (`job.ask`): a call is then answered with the question, and becomes a task
   * when the answer is there. Default false: the task has the question.
   */
  readonly asksFirst?: boolean | undefined
  /**
   * What a client must have for a call: `elicitation`, forms that it shows to its user (`job.ask`), or `sampling`, a model
   * that it asks (`job.askModel`). Calls of other clients are refused. Default: nothing.
   */
  readonly requires?: readonly Requirement[] | undefined
  /**
   * Makes the content that the model sees from an output, in any number of parts. Not used for results that are bytes.
   * Default: the output as text.
   */
  readonly content?: ToContent<Output> | undefined
}

/** The options of a tool, with the defaults filled in. */
export interface Tool extends ToolOptions {
  readonly name: string
  readonly task: 'optional' | 'required' | 'forbidden'
  readonly asksFirst: boolean
  readonly requires: readonly Requirement[]
}

const NAME: Check = {
  expected: '1 to 128 letters, digits, "_", "-" and "."',
  test: name => typeof name === 'string' && /^[\w.-]{1,128}$/.test(name),
}
const ANNOTATIONS: Checks<ToolAnnotations> = {
  readOnlyHint: BOOLEAN,
  destructiveHint: BOOLEAN,
  idempotentHint: BOOLEAN,
  openWorldHint: BOOLEAN,
}
const OPTIONS: Checks<ToolOptions> = {
  name: NAME,
  title: STRING,
  description: STRING,
  annotations: { expected: 'an object', test: annotations => typeof annotations === 'object' },
  task: oneOf('optional', 'required', 'forbidden'),
  asksFirst: BOOLEAN,
  requires: {
    expected: 'a list of "elicitation" and "sampling"',
    test: names => Array.isArray(names) && names.every(name => CAPABILITIES.includes(name)),
  },
  content: FUNCTION,
}

/**
 * Reads the option `tool` of an operation type.
 *
 * @throws {TypeError} for an unknown or invalid option
 */
export function readTool(tool: boolean | ToolOptions | undefined, type: string, where: string): Tool | undefined {
  if (tool === undefined || tool === false) return undefined
  const options = tool === true ? {} : tool
  checkOptions(`${where}: tool`, options, OPTIONS)
  if (options.annotations !== undefined) checkOptions(`${where}: tool.annotations`, options.annotations, ANNOTATIONS)
  const { name = type, task = 'optional', asksFirst = false, requires = [] } = options
  return Object.freeze({ ...options, name, task, asksFirst, requires })
}
