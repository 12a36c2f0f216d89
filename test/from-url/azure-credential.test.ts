/** Whose fault it is where a service is entered with a token that does not come. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect } from 'vitest'
import { explainOpenFailures, SharedCredential } from '../../src/from-url/azure-credential.ts'
import { waybillProcess } from '../support/cli.ts'
import { test } from '../support/waybill.ts'

/** A credential whose tokens come when the test says. */
function slowCredential() {
  const requests: PromiseWithResolvers<string>[] = []
  const credential = new SharedCredential({
    getToken: (_scope: string, _options?: { abortSignal?: AbortSignal }) => {
      const request = Promise.withResolvers<string>()
      requests.push(request)
      return request.promise
    },
  })
  return { credential, requests }
}

/** A store that is late. */
async function lateStore(): Promise<void> {
  throw new Error('Cosmos DB did not answer in time.')
}

test('a slow token is requested once, and the next try gets it', async () => {
  const { credential, requests } = slowCredential()
  const first = credential.getToken('a scope', { abortSignal: AbortSignal.abort() })
  const store = explainOpenFailures({ open: lateStore }, credential, 'Cosmos DB')
  await expect(store.open()).rejects.toThrow(
    /^The credential has given no token for Cosmos DB in 0\.\d s\. Check the identity/,
  )
  const second = credential.getToken('a scope')
  requests[0]?.resolve('a token')
  expect(await Promise.all([first, second])).toEqual(['a token', 'a token'])
  expect(requests).toHaveLength(1)
  // From now on it is not the credential's fault.
  await expect(store.open()).rejects.toThrow('Cosmos DB did not answer in time.')
  void credential.getToken('a scope')
  expect(requests).toHaveLength(2)
})

test('a missing token is the cause in an error', async () => {
  const { credential, requests } = slowCredential()
  const store = explainOpenFailures({ open: lateStore }, credential, 'PostgreSQL')
  const token = credential.getToken('a scope')
  requests[0]?.reject(new Error('No managed identity endpoint found.'))
  await expect(token).rejects.toThrow('No managed identity endpoint found.')
  await expect(store.open()).rejects.toMatchObject({
    name: 'NoTokenError',
    message: expect.stringMatching(
      /^The credential gave no token for PostgreSQL: No managed identity endpoint found\./,
    ),
  })
})

// In a process of its own: the SDK keeps the first managed identity that it meets for the life of its process.
test('a Cosmos DB store names the identity that gets no token', async ({ lab }) => {
  const server = createServer((_, response) => {
    response.writeHead(400, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ statusCode: 400, message: 'The identity was not found.' }))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  lab.onEnd(() => new Promise<void>(resolve => server.close(() => resolve())))
  const { code, err } = await waybillProcess(['ls', '--store', 'cosmos:https://localhost:1/shop/operations'], {
    IDENTITY_ENDPOINT: `http://127.0.0.1:${(server.address() as AddressInfo).port}/token`,
    IDENTITY_HEADER: 'a',
    AZURE_TOKEN_CREDENTIALS: 'ManagedIdentityCredential',
  })
  expect([code, err]).toEqual([1, expect.stringMatching(/: The credential (?:gave|has given) no token for Cosmos DB/)])
})
