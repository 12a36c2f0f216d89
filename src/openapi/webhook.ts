/** The webhook that an operation's end is told by, as a callback of the request that named its URL. */
import type { AnyOperationType } from '../model/operation-type.ts'
import type { OperationObject, Parameter, PathItem } from './model.ts'
import { schemaRef } from './model.ts'
import { EXAMPLE_ID } from './responses.ts'

/** The headers of Standard Webhooks 1.0.0. */
const PARAMETERS: readonly Parameter[] = [
  header('webhook-id', 'The same for every delivery of the event: act on it once.', `msg_${EXAMPLE_ID}`),
  header('webhook-timestamp', 'When it was sent, in seconds since 1970. Refuse what is old.', '1796040000'),
  header(
    'webhook-signature',
    'One signature or more: "v1," and the base64 of HMAC-SHA256 over id.timestamp.body.',
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
    summary: `An operation of ${type.name} has ended`,
    description:
      'Sent to the Webhook-Url of the request, signed (Standard Webhooks 1.0.0). What is not answered with 2xx ' +
      'is sent again over days; redirects are not followed.',
    parameters: PARAMETERS,
    requestBody: {
      description: 'What has happened.',
      required: true,
      content: { 'application/json': { schema: schemaRef('WebhookEvent'), example: event(type) } },
    },
    responses: {
      '2XX': { description: 'It has arrived.' },
      410: { description: 'Nobody is there any more: it is not sent again.' },
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
