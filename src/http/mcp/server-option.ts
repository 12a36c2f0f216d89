/** The option `mcp` of servers. */

import { BOOLEAN, type Check, OBJECT } from '../../model/options.ts'
import type { Surface } from '../surface.ts'
import { type McpOptions, mcp } from './mcp.ts'

/** What the option must be. */
export const MCP: Check = {
  expected: 'true, false or an object',
  test: value => BOOLEAN.test(value) || OBJECT.test(value),
}

/** The surfaces that the option stands for. */
export function mcpSurfaces(option: boolean | McpOptions | undefined): readonly Surface[] {
  if (option === undefined || option === false) return []
  return [mcp(option === true ? {} : option)]
}
