/** The public names for webhooks: their options, their events, and the rules for addresses. */
export { type Address, isPublicAddress, type Lookup, type Resolve } from './addresses.ts'
export { FAILURE_REASONS, type FailureReason } from './failure.ts'
export type { Delivery, DeliveryAttempt } from './history.ts'
export { type HostResolverOptions, hostResolver } from './resolver.ts'
export type { Secrets } from './signing.ts'
export type { WebhookEvent } from './webhook-event.ts'
export type { WebhooksOptions } from './webhooks-options.ts'
