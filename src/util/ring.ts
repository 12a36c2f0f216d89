/**
 * A ring of links, for what comes and goes in an order. What has left it refers to nothing any more: otherwise it would
 * keep all that came later from being collected.
 */
export class Link {
  before: this = this
  after: this = this

  /** Joins a ring as its last. */
  join(ring: this): void {
    this.before = ring.before
    this.after = ring
    this.before.after = this
    ring.before = this
  }

  leave(): void {
    this.before.after = this.after
    this.after.before = this.before
    this.before = this
    this.after = this
  }
}
