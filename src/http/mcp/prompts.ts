/** Questions of handlers to the model of the client, which MCP calls sampling: the prompt, and the text of the answer. */

import type { Wait } from '../../model/waits.ts'
import { fieldsOf } from '../../util/fields.ts'
import { CODES, type Members, RpcError } from './json-rpc.ts'

/** A question that a model is to answer. */
type Prompt = Required<Pick<Wait, 'message' | 'model'>>

/** The request for a question. */
export function promptRequest({ message, model: { maxTokens } }: Prompt): Members {
  const messages = [{ role: 'user', content: { type: 'text', text: message } }]
  return { method: 'sampling/createMessage', params: { messages, maxTokens } }
}

/**
 * The text of the model's answer.
 *
 * @throws {RpcError} if the answer is not text
 */
export function spokenText({ content }: Members): string {
  const blocks = (Array.isArray(content) ? content : [content]).map(fieldsOf)
  const texts = blocks.flatMap(({ type, text }) => (type === 'text' && typeof text === 'string' ? [text] : []))
  if (texts.length > 0) return texts.join('')
  throw new RpcError(CODES.invalidParams, 'The answer of the model must have text.')
}
