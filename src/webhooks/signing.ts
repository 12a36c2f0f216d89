/** Signatures of Standard Webhooks 1.0.0: HMAC-SHA256 of `id.timestamp.body` with a secret that sender and receiver share. */
import { Webhook } from 'standardwebhooks'

/**
 * The secrets to sign with, one or more: `whsec_` and the base64 of 24 to 64 random bytes. With
 * several, a delivery carries a signature by each, so that receivers can go from an old secret to a
 * new one; put the new one first. As a function it gives the secrets of one owner, and is called at each attempt.
 */
export type Secrets = readonly string[] | ((owner: string) => readonly string[] | Promise<readonly string[]>)

const PREFIX = 'whsec_'

/**
 * Checks that secrets have the required format.
 *
 * @throws {TypeError} which never holds the secret itself
 */
export function checkSecrets(secrets: unknown): readonly string[] {
  if (!Array.isArray(secrets) || secrets.length === 0) {
    throw new TypeError('webhooks.secrets must be an array of at least one secret, or a function that returns one.')
  }
  secrets.forEach((secret: unknown, index) => {
    if (isSecret(secret)) return
    throw new TypeError(`webhooks.secrets[${index}] must be "${PREFIX}" and the base64 of 24 to 64 bytes.`)
  })
  return secrets
}

function isSecret(secret: unknown): boolean {
  if (typeof secret !== 'string' || !secret.startsWith(PREFIX)) return false
  const base64 = secret.slice(PREFIX.length)
  const bytes = Buffer.from(base64, 'base64')
  return bytes.toString('base64') === base64 && bytes.length >= 24 && bytes.length <= 64
}

/** What is signed. */
export interface Message {
  readonly id: string
  readonly body: string
  /** When the attempt is made. */
  readonly at: Date
}

/** The three headers of Standard Webhooks. */
export function signedHeaders({ id, body, at }: Message, secrets: readonly string[]): Record<string, string> {
  return {
    'webhook-id': id,
    'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
    'webhook-signature': secrets.map(secret => new Webhook(secret).sign(id, at, body)).join(' '),
  }
}
