/**
 * Checks where a webhook may be sent. The URL comes from a stranger, and the sending server can reach what strangers
 * must not reach: its own host, its network, a cloud's metadata service. So the URL is checked when it is accepted. At
 * each attempt, the URL and every address of its host are checked again.
 */
import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'
import { problemError } from '../model/problem.ts'
import { DeliveryError } from './failure.ts'

/** An address of a host. */
export interface Address {
  readonly address: string
  readonly family: 4 | 6
}

/** The context of a look-up. */
export interface Lookup {
  /** The owner of the operation whose webhook names the host. */
  readonly owner: string
  /** Aborted when the answer is no longer needed. */
  readonly signal: AbortSignal
}

/**
 * Finds every address of a host name. The names come from strangers, so a look-up must not hold up other work of the
 * process.
 */
export type Resolve = (host: string, lookup: Lookup) => Promise<readonly Address[]>

/** The rules for URLs and addresses. */
export interface Rules {
  /** Whether plain `http:` is allowed too. */
  readonly allowHttp: boolean
  /** The allowed ports; undefined for any. */
  readonly ports: readonly number[] | undefined
  readonly allowAddress: (address: string) => boolean
}

/** Longer URLs are refused. */
const MAX_URL_LENGTH = 2048

/**
 * Tells whether an address is public unicast, so that any host of the internet may use it. Not public are the addresses
 * that IANA's special-purpose registries list (private, loopback, link-local with the clouds' metadata service, shared,
 * documentation, benchmarking, multicast, reserved), addresses outside the IPv6 space that is in use (2000::/3), the
 * tunnels 6to4 and Teredo, and Azure's platform address 168.63.129.16. An IPv4 address within an IPv6 one, mapped
 * (`::ffff:0:0/96`) or of NAT64 (`64:ff9b::/96`), is checked itself.
 *
 * @param address as a string; any other string is not public
 *
 * @example
 * console.log(isPublicAddress('10.0.0.1'), isPublicAddress('1.1.1.1'))
 */
export function isPublicAddress(address: string): boolean {
  const ip = parse(address)
  if (ip === undefined) return false
  if (ip instanceof ipaddr.IPv4) return ip.range() === 'unicast' && ip.toString() !== AZURE_PLATFORM
  if (ip.range() === 'rfc6052' && ip.match(NAT64, 96)) return isPublicAddress(lastIPv4(ip))
  return ip.range() === 'unicast' && ip.match(GLOBAL_UNICAST, 3)
}

/** Azure's hosts answer their own machines at this address, which lies in a public range: metadata, credentials, DNS. */
const AZURE_PLATFORM = '168.63.129.16'
const GLOBAL_UNICAST = ipaddr.IPv6.parse('2000::')
const NAT64 = ipaddr.IPv6.parse('64:ff9b::')

/** The address in its one canonical form: a mapped IPv4 address as itself. */
function parse(address: string): ipaddr.IPv4 | ipaddr.IPv6 | undefined {
  if (isIP(address) === 0 || address.includes('%')) return undefined
  if (isIP(address) === 4) return ipaddr.IPv4.parse(address)
  // The URL parser writes every form in hexadecimal; ipaddr.js takes "::1.2.3.4" for "::ffff:1.2.3.4", which is another address.
  const ip = ipaddr.IPv6.parse(new URL(`http://[${address}]`).hostname.slice(1, -1))
  return ip.isIPv4MappedAddress() ? ip.toIPv4Address() : ip
}

function lastIPv4(ip: ipaddr.IPv6): string {
  return ip.toByteArray().slice(-4).join('.')
}

/**
 * Reads a webhook's URL and checks it by the rules, as far as that is possible without DNS.
 *
 * @throws {ProblemError} `invalid-webhook-url`; its detail says what is wrong with it
 */
export function readWebhookUrl(text: string, rules: Rules): URL {
  const url = URL.parse(text)
  const wrong = url === null ? 'It is not an absolute URL.' : faultOf(url, rules)
  if (url !== null && wrong === undefined) return url
  throw problemError('invalid-webhook-url', wrong)
}

function faultOf(url: URL, rules: Rules): string | undefined {
  const { allowHttp, ports, allowAddress } = rules
  if (url.href.length > MAX_URL_LENGTH) return `It is longer than ${MAX_URL_LENGTH} characters.`
  if (url.protocol !== 'https:' && !(allowHttp && url.protocol === 'http:')) return 'Its scheme is not https.'
  if (url.username !== '' || url.password !== '') return 'It contains a user name or a password.'
  if (ports !== undefined && !ports.includes(portOf(url))) return `Its port is not one of ${ports.join(', ')}.`
  const host = hostOf(url)
  if (host.endsWith('.')) return 'Its host ends with a dot.'
  const address = literalAddress(host)
  if (address !== undefined && !isAllowed(address, allowAddress)) return 'Its host is not a public address.'
  return undefined
}

function portOf(url: URL): number {
  if (url.port !== '') return Number(url.port)
  return url.protocol === 'https:' ? 443 : 80
}

/** The host of a URL; for an IPv6 address, without the brackets. */
export function hostOf(url: URL): string {
  return url.hostname.replace(/^\[(.*)\]$/, '$1')
}

/**
 * The address of a host that needs no look-up: an address, or `localhost` and the names below it, which are the
 * loopback (RFC 6761, 6.3).
 */
function literalAddress(host: string): string | undefined {
  if (isIP(host) !== 0) return host
  return /(^|\.)localhost$/.test(host) ? '127.0.0.1' : undefined
}

function isAllowed(address: string, allowAddress: Rules['allowAddress']): boolean {
  const ip = parse(address)
  return ip !== undefined && allowAddress(ip.toString())
}

/**
 * Finds the addresses of a host, all of which must be allowed. The connection uses one of them without another look-up:
 * a name that is resolved twice can have two answers (DNS rebinding).
 *
 * @throws {DeliveryError} `address` if there is no address, or one of them is refused. The owner cannot tell these
 * apart: the difference would show which names the internal network has
 */
export async function allowedAddresses(
  host: string,
  { resolve, allowAddress }: { resolve: Resolve; allowAddress: Rules['allowAddress'] },
  lookup: Lookup,
): Promise<readonly Address[]> {
  const addresses = await addressesOf(host, resolve, lookup)
  if (addresses.length > 0 && addresses.every(({ address }) => isAllowed(address, allowAddress))) return addresses
  throw new DeliveryError('address', NO_PUBLIC_ADDRESS)
}

const NO_PUBLIC_ADDRESS = 'The host has no address, or one that is not public.'

async function addressesOf(host: string, resolve: Resolve, lookup: Lookup): Promise<readonly Address[]> {
  const family = isIP(host)
  if (family === 4 || family === 6) return [{ address: host, family }]
  try {
    return await resolve(host, lookup)
  } catch (error) {
    throw new DeliveryError('address', NO_PUBLIC_ADDRESS, { cause: error })
  }
}
