/** The input of a POST: JSON, or for a batch also lines of JSON (NDJSON). */
import { parseJson } from '../model/json.ts'
import { ProblemError, problemError } from '../model/problem.ts'
import { type HttpRequest, header, NDJSON_MEDIA_TYPE } from './message.ts'

/** An input, as a value and as JSON text. */
export interface SubmittedInput {
  readonly input: unknown
  readonly text: string
}

/**
 * Reads the input of a request.
 *
 * @throws {ProblemError} `invalid-json`, which names the line
 */
export function readInput(request: HttpRequest): SubmittedInput {
  const text = request.body ?? ''
  if (!NDJSON_MEDIA_TYPE.test(header(request, 'Content-Type') ?? '')) return { input: parseJson(text), text }
  const lines = text.split('\n').map((line, index) => ({ line: line.trim(), number: index + 1 }))
  const items = lines.filter(({ line }) => line !== '')
  return {
    input: items.map(({ line, number }) => parseLine(line, number)),
    text: `[${items.map(({ line }) => line).join(',')}]`,
  }
}

function parseLine(line: string, number: number): unknown {
  try {
    return parseJson(line)
  } catch (error) {
    if (!(error instanceof ProblemError)) throw error
    throw problemError('invalid-json', `Line ${number} is wrong. ${error.problem.detail ?? ''}`.trim())
  }
}
