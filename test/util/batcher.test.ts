import { describe, expect, it } from 'vitest'
import { Batcher, type BatchResult } from '../../src/util/batcher.ts'

/** A writer whose batches are answered when the test says so. */
class Writer {
  readonly batches: { items: readonly string[]; answer: PromiseWithResolvers<readonly BatchResult<string>[]> }[] = []
  readonly write = (items: readonly string[]): Promise<readonly BatchResult<string>[]> => {
    const answer = Promise.withResolvers<readonly BatchResult<string>[]>()
    this.batches.push({ items, answer })
    this.#began.resolve()
    this.#began = Promise.withResolvers()
    return answer.promise
  }
  #began = Promise.withResolvers<void>()

  /** Waits for the batch of this number, from 0. */
  async batch(number: number): Promise<Writer['batches'][number]> {
    for (;;) {
      const batch = this.batches[number]
      if (batch !== undefined) return batch
      await this.#began.promise
    }
  }

  /** Waits for a batch, and answers each item with itself in capitals. */
  async settle(number: number): Promise<readonly string[]> {
    const { items, answer } = await this.batch(number)
    answer.resolve(items.map(item => ({ value: item.toUpperCase() })))
    return items
  }
}

describe('a batcher', () => {
  it('writes a lone item at once, in a batch of its own', async () => {
    const writer = new Writer()
    const added = new Batcher(writer.write).add('a')
    expect(await writer.settle(0)).toEqual(['a'])
    expect(await added).toBe('A')
  })

  it('joins what is added in one turn of the event loop, in order', async () => {
    const writer = new Writer()
    const batcher = new Batcher(writer.write)
    const added = [batcher.add('a'), Promise.resolve().then(() => batcher.add('b')), batcher.add('c')]
    expect(await writer.settle(0)).toEqual(['a', 'c', 'b'])
    expect(await Promise.all(added)).toEqual(['A', 'B', 'C'])
  })

  it('joins items that arrive during a write into the next batch, and writes one batch at a time', async () => {
    const writer = new Writer()
    const batcher = new Batcher(writer.write)
    const first = batcher.add('a')
    await writer.batch(0)
    const others = ['b', 'c', 'd'].map(item => batcher.add(item))
    expect(writer.batches).toHaveLength(1)
    await writer.settle(0)
    expect(await first).toBe('A')
    expect(await writer.settle(1)).toEqual(['b', 'c', 'd'])
    expect(await Promise.all(others)).toEqual(['B', 'C', 'D'])
  })

  it('makes no batch larger than its limit', async () => {
    const writer = new Writer()
    const batcher = new Batcher(writer.write, { limit: 2 })
    const added = ['a', 'b', 'c', 'd', 'e'].map(item => batcher.add(item))
    expect([await writer.settle(0), await writer.settle(1), await writer.settle(2)]).toEqual([
      ['a', 'b'],
      ['c', 'd'],
      ['e'],
    ])
    expect(await Promise.all(added)).toEqual(['A', 'B', 'C', 'D', 'E'])
  })

  it('writes a full batch early, and later items with the next batch', async () => {
    const writer = new Writer()
    const batcher = new Batcher(writer.write, { earlyAt: 3 })
    const added = ['a', 'b', 'c', 'd'].map(item => batcher.add(item))
    expect(writer.batches.map(({ items }) => items)).toEqual([['a', 'b', 'c']])
    const joined = batcher.add('e')
    expect(await writer.settle(0)).toEqual(['a', 'b', 'c'])
    expect(await writer.settle(1)).toEqual(['d', 'e'])
    expect(await Promise.all([...added, joined])).toEqual(['A', 'B', 'C', 'D', 'E'])
    expect(writer.batches).toHaveLength(2)
  })

  it('rejects the items that failed, and no others', async () => {
    const writer = new Writer()
    const batcher = new Batcher(writer.write)
    const added = Promise.allSettled(['a', 'b'].map(item => batcher.add(item)))
    const error = new Error('No.')
    ;(await writer.batch(0)).answer.resolve([{ error }, { value: 'B' }])
    expect(await added).toEqual([
      { status: 'rejected', reason: error },
      { status: 'fulfilled', value: 'B' },
    ])
  })

  it('rejects a whole batch whose write fails, and goes on with the next', async () => {
    const writer = new Writer()
    const batcher = new Batcher(writer.write)
    const added = Promise.allSettled(['a', 'b'].map(item => batcher.add(item)))
    const { answer } = await writer.batch(0)
    const next = batcher.add('c')
    answer.reject(new Error('The disk is full.'))
    expect((await added).map(({ status }) => status)).toEqual(['rejected', 'rejected'])
    await writer.settle(1)
    expect(await next).toBe('C')
  })

  it('rejects a batch whose writer throws synchronously', async () => {
    const batcher = new Batcher<string, string>(() => {
      throw new Error('It is not open.')
    })
    await expect(batcher.add('a')).rejects.toThrow('It is not open.')
    await batcher.drained()
  })

  it('rejects an item without a result', async () => {
    const writer = new Writer()
    const added = new Batcher(writer.write).add('a')
    ;(await writer.batch(0)).answer.resolve([])
    await expect(added).rejects.toThrow('without an answer')
  })

  it('returns undefined if that is the result', async () => {
    const batcher = new Batcher<string, undefined>(async items => items.map(() => ({ value: undefined })))
    expect(await batcher.add('a')).toBeUndefined()
  })

  it('knows the items that wait for the next batch', async () => {
    const writer = new Writer()
    const batcher = new Batcher(writer.write)
    const added = batcher.add('a')
    expect(batcher.holds(item => item === 'a')).toBe(true)
    await writer.batch(0)
    expect(batcher.holds(item => item === 'a')).toBe(false)
    await writer.settle(0)
    await added
  })

  it('is drained when everything is written, including later items', async () => {
    const writer = new Writer()
    const batcher = new Batcher(writer.write)
    await batcher.drained()
    const settled: string[] = []
    const added = [batcher.add('a').then(it => settled.push(it))]
    const drained = batcher.drained().then(() => settled.push('drained'))
    await writer.batch(0)
    added.push(batcher.add('b').then(it => settled.push(it)))
    await writer.settle(0)
    await writer.settle(1)
    await Promise.all([...added, drained])
    expect(settled).toEqual(['A', 'B', 'drained'])
  })
})
