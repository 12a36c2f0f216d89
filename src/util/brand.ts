/** Makes `instanceof` recognize instances that another copy of this package has made. */

/**
 * Marks the instances of a class, and makes `instanceof` look for the mark. For a class that extends the marked one,
 * `instanceof` compares prototypes as usual.
 *
 * @param name the same in every copy and every version, such as `waybill.ProblemError`
 */
export function markInstances(marked: { readonly prototype: object }, name: string): void {
  const mark = Symbol.for(name)
  Object.defineProperty(marked.prototype, mark, { value: true })
  Object.defineProperty(marked, Symbol.hasInstance, {
    value(this: unknown, value: unknown): boolean {
      if (this !== marked) return Function.prototype[Symbol.hasInstance].call(this, value)
      return typeof value === 'object' && value !== null && mark in value
    },
  })
}
