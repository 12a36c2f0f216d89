/**
 * What this process has seen of each partition, as session tokens. The SDK sends them only if its client was created
 * with the consistency "Session". The store always sends them; an account with a stronger consistency ignores them.
 */

/** `version#sequence#…`: how much a replica of one partition has received. */
interface Token {
  readonly text: string
  /** Rises when the replicas of the partition change, such as in a failover. */
  readonly version: number
  readonly sequence: number
}

/** By the partition's id. */
export type Tokens = ReadonlyMap<string, Token>

export class Session {
  #tokens: Tokens = new Map()
  #header = ''

  /** This map is never changed: a later token makes a new map. */
  get tokens(): Tokens {
    return this.#tokens
  }

  /**
   * All tokens as one header; empty if none is known. For a partition that was created by a split, the service uses the
   * token of its parent.
   */
  get header(): string {
    return this.#header
  }

  /**
   * @param header `partition:token`, of one partition or of several, separated by commas
   * @returns whether it names a partition that no earlier answer named, such as after a split
   */
  heard(header: unknown): boolean {
    const known = this.#tokens
    const newer = parse(header).filter(([partition, token]) => isAhead(token, known.get(partition)))
    if (newer.length === 0) return false
    this.#tokens = new Map([...this.#tokens, ...newer])
    this.#header = [...this.#tokens].map(([partition, { text }]) => `${partition}:${text}`).join(',')
    return known.size > 0 && newer.some(([partition]) => !known.has(partition))
  }

  /** Whether an answer comes from a replica that has not received all of `seen`. */
  static isOlder(header: unknown, seen: Tokens): boolean {
    return parse(header).some(([partition, { version, sequence }]) => {
      const wanted = seen.get(partition)
      // Sequences of different versions cannot be compared: there the service decides, by a 404 with the substatus
      // 1002.
      return wanted !== undefined && version === wanted.version && sequence < wanted.sequence
    })
  }
}

function isAhead({ version, sequence }: Token, known: Token | undefined): boolean {
  if (known === undefined || version > known.version) return true
  return version === known.version && sequence > known.sequence
}

function parse(header: unknown): [string, Token][] {
  if (typeof header !== 'string') return []
  return header.split(',').flatMap(part => {
    const [partition, text] = part.split(':')
    const [version, sequence] = (text ?? '').split('#').map(Number)
    if (partition === undefined || text === undefined || version === undefined || sequence === undefined) return []
    if (Number.isNaN(version) || Number.isNaN(sequence)) return []
    return [[partition, { text, version, sequence }] as [string, Token]]
  })
}
