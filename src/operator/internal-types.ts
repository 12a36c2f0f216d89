/** The operation types of Waybill itself. */
import { isTick } from '../schedules/schedules.ts'
import { DELIVERY_TYPE } from '../webhooks/delivery.ts'
import { OPERATOR_TYPES } from './acts.ts'

/** The type of the sessions that MCP clients have with `http/mcp`. */
export const SESSION_TYPE = 'mcp-session'

/**
 * Whether operations of a type are Waybill's own: acts of operators, webhook deliveries, ticks of schedules and sessions
 * of agents. No list shows them, and no bulk run acts on them, unless it is asked for one of their types.
 */
export function isInternal(type: string): boolean {
  return OPERATOR_TYPES.has(type) || type === DELIVERY_TYPE || type === SESSION_TYPE || isTick({ type })
}
