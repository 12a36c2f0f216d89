/** Several streams as one. */
import { expect, test } from 'vitest'
import { Merged } from '../../../src/http/mcp/operation-changes.ts'
import { countKept } from '../../support/garbage.ts'

/** A stream that says nothing for as long as the test takes. */
async function* quiet(): AsyncGenerator<never> {
  await new Promise(() => {})
}

async function* counting(name: string, count: number): AsyncGenerator<{ readonly name: string; readonly at: number }> {
  for (let at = 0; at < count; at++) yield { name, at }
}

async function read<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const values: T[] = []
  for await (const value of stream) values.push(value)
  return values
}

async function* failing(): AsyncGenerator<undefined> {
  yield undefined
  throw new Error('It is away.')
}

test('merged streams give all their values in turn, and end with the last of them', async () => {
  const merged = new Merged([counting('a', 3), counting('b', 2)])
  const seen: string[] = []
  for await (const { name, at } of merged.values()) {
    seen.push(`${name}${at}`)
    if (seen.length === 2) merged.add(counting('c', 1))
  }
  expect(seen.slice(0, 2)).toEqual(['a0', 'b0'])
  expect(seen.sort()).toEqual(['a0', 'a1', 'a2', 'b0', 'b1', 'c0'])
  expect(await read(new Merged([]).values())).toEqual([])
})

test('merged streams end with the error of one of them', async () => {
  const merged = new Merged<unknown>([quiet(), failing()])
  await expect(read(merged.values())).rejects.toThrow('It is away.')
})

test('a stream that says nothing keeps nothing of the others', async () => {
  const seen: WeakRef<object>[] = []
  const merged = new Merged<object>([quiet(), counting('a', 1000)])
  for await (const value of merged.values()) if (seen.push(new WeakRef(value)) === 1000) break
  expect(await countKept(seen)).toBeLessThan(10)
})
