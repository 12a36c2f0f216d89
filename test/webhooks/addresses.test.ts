import { describe, expect, test } from 'vitest'
import { isPublicAddress, type WebhooksOptions } from 'waybill/webhooks'
import { allowedAddresses, readWebhookUrl } from '../../src/webhooks/addresses.ts'
import { readWebhookOptions } from '../../src/webhooks/webhooks-options.ts'
import { secret } from '../support/receiver.ts'

const PUBLIC = [
  ['Cloudflare', '1.1.1.1'],
  ['just below private', '9.255.255.255'],
  ['just above private', '11.0.0.0'],
  ['just below 172.16/12', '172.15.255.255'],
  ['just above 172.16/12', '172.32.0.0'],
  ['just above shared', '100.128.0.0'],
  ['just below multicast', '223.255.255.255'],
  ['IPv6', '2606:4700:4700::1111'],
  ['IPv6 with letters in capitals', '2A00:1450:4001:80B::200E'],
  ['a mapped public IPv4', '::ffff:8.8.8.8'],
  ['a public IPv4 behind NAT64', '64:ff9b::808:808'],
] as const

const REFUSED = [
  ['unspecified', '0.0.0.0'],
  ['this network', '0.1.2.3'],
  ['loopback', '127.0.0.1'],
  ['loopback, the last', '127.255.255.255'],
  ['private 10/8', '10.0.0.1'],
  ['private 172.16/12', '172.31.255.255'],
  ['private 192.168/16', '192.168.1.1'],
  ['link-local', '169.254.0.1'],
  ['metadata', '169.254.169.254'],
  ['the platform of Azure, in a public range', '168.63.129.16'],
  ['shared (carrier-grade NAT)', '100.64.0.1'],
  ['metadata of Alibaba, in shared', '100.100.100.200'],
  ['protocol assignments', '192.0.0.192'],
  ['documentation', '192.0.2.1'],
  ['documentation', '198.51.100.1'],
  ['documentation', '203.0.113.1'],
  ['6to4 relays', '192.88.99.1'],
  ['benchmarking', '198.19.255.255'],
  ['multicast', '224.0.0.1'],
  ['multicast, the last', '239.255.255.255'],
  ['reserved', '240.0.0.1'],
  ['broadcast', '255.255.255.255'],
  ['IPv6 unspecified', '::'],
  ['IPv6 loopback', '::1'],
  ['IPv6 loopback, long', '0:0:0:0:0:0:0:1'],
  ['IPv6 link-local', 'fe80::1'],
  ['IPv6 link-local with a zone', 'fe80::1%eth0'],
  ['IPv6 site-local', 'fec0::1'],
  ['unique local', 'fd00:ec2::254'],
  ['unique local', 'fc00::1'],
  ['IPv6 multicast', 'ff02::1'],
  ['IPv6 documentation', '2001:db8::1'],
  ['IPv6 documentation', '3fff::1'],
  ['discard', '100::1'],
  ['mapped loopback', '::ffff:127.0.0.1'],
  ['mapped loopback in hexadecimal', '::ffff:7f00:1'],
  ['mapped metadata', '::ffff:169.254.169.254'],
  ['compatible loopback', '::127.0.0.1'],
  ['compatible public', '::8.8.8.8'],
  ['compatible in hexadecimal', '::808:808'],
  ['translated (RFC 6145)', '::ffff:0:127.0.0.1'],
  ['private behind NAT64', '64:ff9b::10.0.0.1'],
  ['metadata behind NAT64', '64:ff9b::a9fe:a9fe'],
  ['local NAT64', '64:ff9b:1::808:808'],
  ['6to4 of private', '2002:a00:1::1'],
  ['6to4 of public', '2002:808:808::1'],
  ['Teredo', '2001:0:4136:e378:8000:63bf:3fff:fdd2'],
  ['ORCHID', '2001:20::1'],
  ['segment routing', '5f00::1'],
  ['not in use', '4000::1'],
  ['no address', 'localhost'],
  ['no address', ''],
  ['short', '127.1'],
  ['octal', '0177.0.0.1'],
  ['a number', '2130706433'],
] as const

describe('an address', () => {
  test.each(PUBLIC)('%s is public: %s', (_, address) => {
    expect(isPublicAddress(address)).toBe(true)
  })

  test.each(REFUSED)('%s is not public: %s', (_, address) => {
    expect(isPublicAddress(address)).toBe(false)
  })
})

const base: WebhooksOptions = { secrets: [secret(1)] }
const rulesOf = (init: Partial<WebhooksOptions> = {}) => readWebhookOptions({ ...base, ...init }).rules

describe('a URL of a submission', () => {
  test.each([
    ['https://example.com/hooks?token=1', 'https://example.com/hooks?token=1'],
    ['HTTPS://EXAMPLE.com:443', 'https://example.com/'],
    ['https://example.com:8443/', 'https://example.com:8443/'],
    ['https://bücher.example/', 'https://xn--bcher-kva.example/'],
    ['https://1.1.1.1/', 'https://1.1.1.1/'],
    ['https://[2606:4700:4700::1111]/', 'https://[2606:4700:4700::1111]/'],
    ['https://notlocalhost/', 'https://notlocalhost/'],
  ])('is accepted: %s', (text, href) => {
    expect(readWebhookUrl(text, rulesOf()).href).toBe(href)
  })

  test.each([
    ['', 'not an absolute URL'],
    ['/hooks', 'not an absolute URL'],
    ['https://', 'not an absolute URL'],
    ['http://example.com/', 'scheme is not https'],
    ['ftp://example.com/', 'scheme is not https'],
    ['file:///etc/passwd', 'scheme is not https'],
    ['javascript:alert(1)', 'scheme is not https'],
    ['https://user@example.com/', 'user name'],
    ['https://:secret@example.com/', 'password'],
    [`https://example.com/${'a'.repeat(2048)}`, 'longer than 2048'],
    ['https://example.com./', 'ends with a dot'],
    ['https://localhost./', 'ends with a dot'],
    ['https://localhost/', 'not a public address'],
    ['https://LOCALHOST:8080/', 'not a public address'],
    ['https://a.localhost/', 'not a public address'],
    ['https://127.0.0.1/', 'not a public address'],
    ['https://127.0.0.1./', 'not a public address'],
    ['https://0x7f.1/', 'not a public address'],
    ['https://2130706433/', 'not a public address'],
    ['https://0177.0.0.1/', 'not a public address'],
    ['https://127.1/', 'not a public address'],
    ['https://①②⑦.0.0.1/', 'not a public address'],
    ['https://0/', 'not a public address'],
    ['https://169.254.169.254/latest/meta-data', 'not a public address'],
    ['https://[::1]/', 'not a public address'],
    ['https://[::ffff:10.0.0.1]/', 'not a public address'],
    ['https://[::ffff:a9fe:a9fe]/', 'not a public address'],
    ['https://[64:ff9b::7f00:1]/', 'not a public address'],
    ['https://[fe80::1%25eth0]/', 'not an absolute URL'],
  ])('is refused: %s', (text, why) => {
    expect(() => readWebhookUrl(text, rulesOf())).toThrow(
      expect.objectContaining({
        problem: expect.objectContaining({
          status: 400,
          code: 'invalid-webhook-url',
          detail: expect.stringContaining(why),
        }),
      }),
    )
  })

  test('may have only the ports that the options allow', () => {
    const rules = rulesOf({ ports: [443, 8443], allowHttp: true })
    expect(readWebhookUrl('https://example.com/', rules).port).toBe('')
    expect(readWebhookUrl('https://example.com:8443/', rules).port).toBe('8443')
    expect(() => readWebhookUrl('https://example.com:22/', rules)).toThrow('not one of 443, 8443')
    expect(() => readWebhookUrl('http://example.com/', rules)).toThrow('not one of 443, 8443')
  })

  test('is compared with the allowed addresses in canonical form', () => {
    const asked: string[] = []
    const allowAddress = (address: string) => {
      asked.push(address)
      return address.startsWith('10.20.')
    }
    const rules = rulesOf({ allowAddress })
    expect(readWebhookUrl('https://10.20.0.1/', rules).hostname).toBe('10.20.0.1')
    expect(readWebhookUrl('https://[::ffff:10.20.0.1]/', rules).port).toBe('')
    expect(() => readWebhookUrl('https://8.8.8.8/', rules)).toThrow('not a public address')
    expect(() => readWebhookUrl('https://localhost/', rules)).toThrow('not a public address')
    expect(asked).toEqual(['10.20.0.1', '10.20.0.1', '8.8.8.8', '127.0.0.1'])
  })
})

describe('the addresses of a host', () => {
  const found = (...addresses: string[]) =>
    allowedAddresses(
      'hooks.example',
      {
        allowAddress: isPublicAddress,
        resolve: async () => addresses.map(address => ({ address, family: address.includes(':') ? 6 : 4 })),
      },
      { owner: '', signal: new AbortController().signal },
    )

  test('are accepted if all of them are public', async () => {
    expect(await found('1.1.1.1', '2606:4700:4700::1111')).toHaveLength(2)
  })

  test('are refused if one of them is not public, without its name', async () => {
    const refusal = found('1.1.1.1', '10.0.0.1')
    await expect(refusal).rejects.toMatchObject({ reason: 'address', message: expect.not.stringContaining('10.0.0.1') })
    await expect(found('::ffff:127.0.0.1')).rejects.toMatchObject({ reason: 'address' })
    await expect(found('not an address')).rejects.toMatchObject({ reason: 'address' })
  })

  test('must exist, and missing ones are reported like private ones', async () => {
    const refusal = (...addresses: string[]) =>
      found(...addresses).catch(({ reason, message }) => ({ reason, message }))
    expect(await refusal()).toEqual(await refusal('10.0.0.1'))
    expect(await refusal()).toMatchObject({ reason: 'address' })
  })
})

describe('options', () => {
  test.each<[string, object]>([
    ['unknown option "secret"', { secret: 1 }],
    ['webhooks.secrets', { secrets: [] }],
    ['webhooks.secrets', { secrets: secret(1) }],
    ['webhooks.secrets[1]', { secrets: [secret(1), 'hunter2'] }],
    ['webhooks.secrets[0]', { secrets: [secret(1, 23)] }],
    ['webhooks.secrets[0]', { secrets: [secret(1, 65)] }],
    ['webhooks.secrets[0]', { secrets: [secret(1).replace('whsec_', '')] }],
    ['webhooks.secrets[0]', { secrets: [`${secret(1)}*`] }],
    ['webhooks.retries[1]', { retries: ['5s', 'soon'] }],
    ['webhooks.retries', { retries: Array(100).fill('1s') }],
    ['webhooks.timeout', { timeout: '2m' }],
    ['webhooks.concurrency', { concurrency: 0 }],
    ['webhooks.ports', { ports: [0] }],
    ['webhooks.baseUrl', { baseUrl: '/api' }],
    ['not both', { allowPrivate: true, allowAddress: () => true }],
  ])('that are invalid are refused with their names: %s', (named, init) => {
    const read = () => readWebhookOptions({ ...base, ...init })
    expect(read).toThrow(TypeError)
    expect(read).toThrow(named)
    expect(read).not.toThrow('hunter2')
  })

  test('have a schedule over three days by default', () => {
    const { retriesMs } = readWebhookOptions(base)
    expect(retriesMs).toHaveLength(9)
    expect(retriesMs.reduce((sum, wait) => sum + wait) / 3_600_000).toBeGreaterThan(72)
  })

  test('accept a function for secrets, whose results are checked', async () => {
    const { secretsOf } = readWebhookOptions({ secrets: owner => (owner === 'alice' ? [secret(1)] : ['hunter2']) })
    expect(await secretsOf('alice')).toEqual([secret(1)])
    await expect(secretsOf('bob')).rejects.toThrow('webhooks.secrets[0]')
  })
})
