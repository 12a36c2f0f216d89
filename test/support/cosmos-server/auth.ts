/** Who may ask: everyone who signs with the account's key, or has a token of Microsoft Entra ID. */
import { createHmac, createSecretKey } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { CosmosProblem } from './problem.ts'

/** The key of every test's account. */
export const ACCOUNT_KEY = Buffer.from('the key of an account that is not there').toString('base64')

const SECRET = createSecretKey(ACCOUNT_KEY, 'base64')

/** @throws {CosmosProblem} 401 */
export function authorize(
  { method, path, headers }: { method: string; path: string; headers: IncomingHttpHeaders },
  admits: (token: string) => boolean,
): void {
  const given = decodeURIComponent(headers.authorization ?? '')
  const [, type, signature = ''] = /^type=(master|aad)&ver=1\.0&sig=(.+)$/.exec(given) ?? []
  if (type === 'aad' && admits(signature)) return
  if (type === 'master' && signature === signed(method, path, String(headers['x-ms-date']))) return
  throw new CosmosProblem(401, "The input authorization token can't serve the request.")
}

function signed(method: string, path: string, date: string): string {
  const parts = path.split('/').filter(Boolean).map(decodeURIComponent)
  const isItem = parts.length % 2 === 0
  const type = (isItem ? parts.at(-2) : parts.at(-1)) ?? ''
  const link = (isItem ? parts : parts.slice(0, -1)).join('/')
  const text = `${method.toLowerCase()}\n${type}\n${link}\n${date.toLowerCase()}\n\n`
  return createHmac('sha256', SECRET).update(text).digest('base64')
}
