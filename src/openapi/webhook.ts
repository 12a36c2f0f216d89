/** Describes the webhook for a finished operation, as a callback of the request that named its URL. */
import type { AnyOperationType } from '../model/operation-type.ts'
import type { OperationObject, Parameter, PathItem } from './model.ts'
import { schemaRef } from './model.ts'
import { EXAMPLE_ID } from './responses.ts'

/** The headers of Standard Webhooks 1.0.0. */
const PARAMETERS: readonly Parameter[] = [
  header(
    'webhook-id',
    'Identifies the event. All deliveries of an event have the same id: process it once.',
    `msg_${EXAMPLE_ID}`,
  ),
  header('webhook-timestamp', 'When the webhook was sent, in seconds since 1970. Reject old timestamps.', '1796040000'),
  header(
    'webhook-signature',
    'One or more signatures, separated by spaces: "v1," and the base64 of HMAC-SHA256 over id.timestamp.body.',
    'v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=',
  ),
]

function header(name: string, description: string, example: string): Parameter {
  return { name, in: 'header', required: true, description, schema: { type: 'string' }, example }
}

/** The callback of an operation type. */
export function webhookCallback(type: AnyOperationType, name: string): Record<string, Record<string, PathItem>> {
  return { ended: { '{$request.header.Webhook-Url}': { post: delivery(type, name) } } }
}

function delivery(type: AnyOperationType, name: string): OperationObject {
  return {
    operationId: `on${name}Ended`,
    tags: [type.name],
    summary: `A webhook for a finished ${type.name} operation`,
    description:
      'Sent to the Webhook-Url of the request, and signed (Standard Webhooks 1.0.0). Unless the receiver answers with 2xx, ' +
      'the webhook is sent again over several days. Redirects are not followed.',
    parameters: PARAMETERS,
    requestBody: {
      description: 'The event.',
      required: true,
      content: { 'application/json': { schema: schemaRef('WebhookEvent'), example: event(type) } },
    },
    responses: {
      '2XX': { description: 'The webhook is delivered.' },
      410: { description: 'The receiver is gone. The webhook is not sent again.' },
    },
  }
}

function event({ name }: AnyOperationType) {
  return {
    type: `${name.replaceAll('-', '_')}.completed`,
    timestamp: '2026-11-30T12:00:03.000Z',
    data: { id: EXAMPLE_ID, operation: name, status: 'completed' },
  }
}
