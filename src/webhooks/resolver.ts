/**
 * Looks up host names from strangers. `dns.lookup` is not suitable: it blocks a thread of the process until the name
 * server answers, and cannot be aborted. A few silent name servers would stop every look-up of the process, including
 * that of its database. Here a look-up is a few datagrams, and ends with its delivery.
 */
import { Resolver } from 'node:dns/promises'
import { readFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import type { Address, Lookup, Resolve } from './addresses.ts'

/** Options of {@link hostResolver}. */
export interface HostResolverOptions {
  /** The name servers, such as `['10.0.0.2']` or `['10.0.0.2:5353']`. Default: those of the system. */
  readonly servers?: readonly string[]
  /** The hosts file, which is read first. Default: that of the system. */
  readonly hostsFile?: string
}

/** How many look-ups of one owner run at once; further ones wait. */
const MAX_PER_OWNER = 4
/** How long a name server may take to answer, in milliseconds, and how many times it is asked. */
const QUERY = { timeout: 2000, tries: 2 }
/** How long a domain with silent name servers is not looked up again, in milliseconds. */
const SILENT_MS = 30_000
/** How many silent domains are remembered. Beyond that, the oldest are forgotten. */
const MAX_SILENT = 1000
/** How long the hosts file is cached, in milliseconds. */
const HOSTS_MS = 5000
const SYSTEM_HOSTS =
  process.platform === 'win32' ? `${process.env.SystemRoot}\\System32\\drivers\\etc\\hosts` : '/etc/hosts'

/**
 * Makes a resolver: the hosts file first, then DNS. It knows no search domains, no mDNS and no NIS.
 *
 * @example
 * const webhooks = { secrets: ['whsec_…'], resolve: hostResolver() }
 */
export function hostResolver(options: HostResolverOptions = {}): Resolve {
  const resolver = new HostResolver(options)
  return (host, lookup) => resolver.resolve(host, lookup)
}

class HostResolver {
  readonly #servers: readonly string[] | undefined
  readonly #hosts: HostsFile
  readonly #turns = new Map<string, Turns>()
  /** By owner and domain: until when, by the monotonic clock. */
  readonly #silent = new Map<string, number>()

  constructor({ servers, hostsFile = SYSTEM_HOSTS }: HostResolverOptions) {
    this.#servers = servers
    this.#hosts = new HostsFile(hostsFile)
  }

  async resolve(host: string, { owner, signal }: Lookup): Promise<readonly Address[]> {
    const listed = await this.#hosts.addressesOf(host)
    if (listed.length > 0) return listed
    const turns = this.#turns.get(owner) ?? new Turns()
    this.#turns.set(owner, turns)
    try {
      return await turns.take(() => this.#query(host, owner, signal), signal)
    } finally {
      if (turns.isIdle) this.#turns.delete(owner)
    }
  }

  async #query(host: string, owner: string, signal: AbortSignal): Promise<readonly Address[]> {
    // Remembered for this owner only: a name below the domain of another owner must not delay that owner.
    const domain = JSON.stringify([owner, host.split('.').slice(-2).join('.')])
    if ((this.#silent.get(domain) ?? 0) > performance.now()) throw new Error(`The name servers of ${host} are silent.`)
    signal.throwIfAborted()
    const resolver = new Resolver(QUERY)
    if (this.#servers !== undefined) resolver.setServers(this.#servers)
    const cancel = () => resolver.cancel()
    signal.addEventListener('abort', cancel)
    try {
      return await addressesBy(resolver, host)
    } catch (error) {
      if (signal.aborted || codeOf(error) === 'ETIMEOUT') this.#remember(domain)
      throw error
    } finally {
      signal.removeEventListener('abort', cancel)
    }
  }

  #remember(domain: string): void {
    this.#silent.delete(domain)
    this.#silent.set(domain, performance.now() + SILENT_MS)
    const oldest = this.#silent.keys().next().value
    if (this.#silent.size > MAX_SILENT && oldest !== undefined) this.#silent.delete(oldest)
  }
}

/** IPv4 and IPv6 are looked up at once; one of them is enough. */
async function addressesBy(resolver: Resolver, host: string): Promise<readonly Address[]> {
  const [four, six] = await Promise.allSettled([resolver.resolve4(host), resolver.resolve6(host)])
  const found = [
    ...(four.status === 'fulfilled' ? four.value.map(address => ({ address, family: 4 as const })) : []),
    ...(six.status === 'fulfilled' ? six.value.map(address => ({ address, family: 6 as const })) : []),
  ]
  if (found.length > 0 || four.status === 'fulfilled' || six.status === 'fulfilled') return found
  throw codeOf(four.reason) === 'ETIMEOUT' ? four.reason : six.reason
}

/** Runs a few tasks at once; the others wait in order. */
class Turns {
  #running = 0
  readonly #waiting: (() => void)[] = []

  get isIdle(): boolean {
    return this.#running === 0 && this.#waiting.length === 0
  }

  async take<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    if (this.#running >= MAX_PER_OWNER) await this.#turn(signal)
    this.#running++
    try {
      return await work()
    } finally {
      this.#running--
      this.#waiting.shift()?.()
    }
  }

  #turn(signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const leave = () => {
      const place = this.#waiting.indexOf(go)
      if (place >= 0) this.#waiting.splice(place, 1)
      reject(signal.reason)
    }
    const go = () => {
      signal.removeEventListener('abort', leave)
      resolve()
    }
    if (signal.aborted) return Promise.reject(signal.reason)
    signal.addEventListener('abort', leave, { once: true })
    this.#waiting.push(go)
    return promise
  }
}

class HostsFile {
  readonly #path: string
  #names: Promise<ReadonlyMap<string, readonly Address[]>> | undefined
  #readAt = 0

  constructor(path: string) {
    this.#path = path
  }

  async addressesOf(host: string): Promise<readonly Address[]> {
    const now = performance.now()
    if (this.#names === undefined || now - this.#readAt > HOSTS_MS) {
      this.#readAt = now
      this.#names = readHosts(this.#path)
    }
    return (await this.#names).get(host.toLowerCase()) ?? []
  }
}

/** On a system without such a file, it gives no names. */
async function readHosts(path: string): Promise<ReadonlyMap<string, readonly Address[]>> {
  const names = new Map<string, Address[]>()
  const text = await readFile(path, 'utf8').catch(() => '')
  for (const line of text.split('\n')) {
    const [address = '', ...hosts] = line.replace(/#.*/, '').trim().split(/\s+/)
    const family = isIP(address)
    if (family !== 4 && family !== 6) continue
    for (const host of hosts.map(it => it.toLowerCase())) {
      names.set(host, [...(names.get(host) ?? []), { address, family }])
    }
  }
  return names
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}
