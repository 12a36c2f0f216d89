import { Type } from 'typebox'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { compileJsonSchema } from '../../src/model/json-schema.ts'
import type { StandardSchema } from '../../src/model/operation-type.ts'
import { checkSchema, isStandardSchema, validate } from '../../src/model/validation.ts'

const PLAIN = {
  type: 'object',
  properties: { item: { type: 'string' }, count: { type: 'integer', minimum: 1 } },
  required: ['item', 'count'],
  additionalProperties: false,
}
const SCHEMAS = {
  Zod: z.strictObject({ item: z.string(), count: z.int().min(1) }),
  TypeBox: Type.Object({ item: Type.String(), count: Type.Integer({ minimum: 1 }) }, { additionalProperties: false }),
  'plain JSON Schema': PLAIN,
}

describe.each(Object.entries(SCHEMAS))('validate by %s', (_, schema) => {
  it('returns a valid value', async () => {
    expect(await validate(schema, { item: 'apple', count: 2 })).toEqual({ value: { item: 'apple', count: 2 } })
  })

  it('names the invalid member and the reason', async () => {
    const { errors } = await validate(schema, { item: 'apple', count: 0 })
    expect(errors).toEqual([{ pointer: '/count', detail: expect.stringContaining('1') }])
  })

  it.each([null, 7, 'text', [], { item: 'apple' }, { item: 'apple', count: 1, more: true }, { item: 7, count: 'x' }])(
    'refuses %j',
    async value => {
      const { errors } = await validate(schema, value)
      expect(errors?.length).toBeGreaterThan(0)
      for (const error of errors ?? [])
        expect(error).toEqual({ pointer: expect.any(String), detail: expect.any(String) })
    },
  )
})

describe('validate', () => {
  it('accepts any value without a schema', async () => {
    for (const value of [undefined, null, { a: 1 }]) expect(await validate(undefined, value)).toEqual({ value })
  })

  it('returns the value that the schema makes of it', async () => {
    const schema = z.object({ at: z.iso.date().transform(it => new Date(it)), count: z.number().default(1) })
    expect(await validate(schema, { at: '2025-01-01', extra: 1 })).toEqual({
      value: { at: new Date('2025-01-01'), count: 1 },
    })
  })

  it('does not change a value that a JSON Schema accepts: nothing is converted, dropped or filled in', async () => {
    const schema = { type: 'object', properties: { count: { type: 'number', default: 1 } } }
    const value = { extra: true }
    expect((await validate(schema, value)) as { value: unknown }).toEqual({ value: { extra: true } })
    expect((await validate(schema, { count: '1' })).errors).toHaveLength(1)
  })

  it('waits for an asynchronous schema', async () => {
    const schema = z.string().refine(async it => it === 'known', 'It is not known.')
    expect(await validate(schema, 'known')).toEqual({ value: 'known' })
    expect((await validate(schema, 'other')).errors).toEqual([{ pointer: '', detail: 'It is not known.' }])
  })

  it('escapes the keys of a pointer by RFC 6901, and has the indexes of array items', async () => {
    const odd = z.object({ 'a/b~c': z.array(z.number()) })
    expect((await validate(odd, { 'a/b~c': [1, 'two'] })).errors?.[0]?.pointer).toBe('/a~1b~0c/1')
    const plain = { properties: { 'a/b~c': { items: { type: 'number' } } } }
    expect((await validate(plain, { 'a/b~c': [1, 'two'] })).errors?.[0]?.pointer).toBe('/a~1b~0c/1')
  })

  it('accepts a path whose segments are objects', async () => {
    const schema: StandardSchema = {
      '~standard': {
        version: 1,
        vendor: 'test',
        validate: () => ({ issues: [{ message: 'No.', path: [{ key: 'a' }, 0] }] }),
      },
    }
    expect(await validate(schema, 1)).toEqual({ errors: [{ pointer: '/a/0', detail: 'No.' }] })
  })

  it('reports at most fifty errors', async () => {
    const many = Array.from({ length: 500 }, (_, index) => String(index))
    for (const schema of [z.array(z.number()), { type: 'array', items: { type: 'number' } }]) {
      const { errors } = await validate(schema, many)
      expect(errors?.length).toBeLessThanOrEqual(50)
      expect(errors?.[0]?.pointer).toBe('/0')
    }
  })

  it('reports a schema that throws as another failure', async () => {
    const broken = z.string().transform(() => {
      throw new Error('A bug.')
    })
    await expect(validate(broken, 'a')).rejects.toThrow('A bug.')
  })

  it('does not count inherited properties as members of the value', async () => {
    const schema = { type: 'object', properties: { constructor: { type: 'string' } }, additionalProperties: false }
    expect(await validate(schema, {})).toEqual({ value: {} })
    expect((await validate(schema, { constructor: 7 })).errors).toHaveLength(1)
  })
})

describe('checkSchema', () => {
  it('finds a bad JSON Schema when the program starts', () => {
    expect(() => checkSchema({ type: 'string', pattern: '(' }, compileJsonSchema)).toThrow()
  })

  it('accepts every valid one, and no schema at all', () => {
    for (const schema of [...Object.values(SCHEMAS), undefined])
      expect(() => checkSchema(schema, compileJsonSchema)).not.toThrow()
  })
})

describe('isStandardSchema', () => {
  it('recognizes a schema by its property, be it an object or a function', () => {
    const callable = Object.assign(() => {}, { '~standard': { version: 1 } })
    expect([z.string(), callable].map(isStandardSchema)).toEqual([true, true])
    expect([PLAIN, SCHEMAS.TypeBox, null, undefined, 'text', () => {}].map(isStandardSchema)).toEqual(
      Array.from({ length: 6 }, () => false),
    )
  })
})
