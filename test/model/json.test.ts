import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fingerprint, MAX_JSON_DEPTH, parseJson, readUtf8 } from '../../src/model/json.ts'
import { ProblemError } from '../../src/model/problem.ts'

/** The problem that reading the text ends with. */
function refusal(text: string): { code: unknown; detail: string } {
  try {
    parseJson(text)
  } catch (error) {
    if (error instanceof ProblemError) return { code: error.problem.code, detail: error.problem.detail ?? '' }
    throw error
  }
  throw new Error(`It was read: ${text.slice(0, 100)}`)
}

const ARRAYS = ['[', ']'] as const
const OBJECTS = ['{"a":', '}'] as const

function nested(depth: number, [open, close]: readonly [string, string] = ARRAYS): string {
  return `${open.repeat(depth)}1${close.repeat(depth)}`
}

describe('parseJson', () => {
  it('reads every JSON value as JSON.parse does', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 8 }), text => {
        // Keys that poison prototypes have tests of their own.
        fc.pre(!/"(__proto__|constructor)"/.test(text))
        expect(parseJson(text)).toEqual(JSON.parse(text))
      }),
    )
  })

  it.each([
    '',
    ' ',
    '{',
    '[1,]',
    '{"a":1,}',
    "{'a':1}",
    'undefined',
    'NaN',
    '1 2',
    '\u0000',
    '"\u0000"',
    '{"a"}',
    '01',
  ])('refuses %j, which is not JSON', text => {
    expect(refusal(text).code).toBe('invalid-json')
  })

  it('reads JSON of the deepest nesting, and refuses deeper JSON', () => {
    for (const pair of [ARRAYS, OBJECTS]) {
      expect(() => parseJson(nested(MAX_JSON_DEPTH, pair))).not.toThrow()
      expect(refusal(nested(MAX_JSON_DEPTH + 1, pair)).detail).toContain('nested deeper than 100')
    }
  })

  it('refuses extreme depth without a stack overflow, valid or not', () => {
    for (const text of [nested(1_000_000), '['.repeat(1_000_000), '{"a":'.repeat(200_000)]) {
      expect(refusal(text).code).toBe('invalid-json')
    }
  })

  it('does not count brackets in strings', () => {
    const text = JSON.stringify({ text: '["{\\'.repeat(500), 'key [{': ']}' })
    expect(parseJson(text)).toEqual(JSON.parse(text))
  })

  it('refuses deep nesting after a string with escapes', () => {
    expect(refusal(`["\\\\","\\"",${nested(MAX_JSON_DEPTH)}]`).code).toBe('invalid-json')
  })

  it.each([
    '{"__proto__":{"admin":true}}',
    '{"a":[{"__proto__":null}]}',
    '{"\\u005f_proto__":{"admin":true}}',
    '{"constructor":{"prototype":{"admin":true}}}',
  ])('refuses %s, whose key would pollute prototypes', text => {
    expect(refusal(text).code).toBe('invalid-json')
  })

  it('reads a harmless key of the same name', () => {
    expect(parseJson('{"constructor":"Brunel","prototype":1}')).toEqual({ constructor: 'Brunel', prototype: 1 })
  })
})

describe('readUtf8', () => {
  it('reads UTF-8 without any change', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), text => {
        expect(readUtf8(Buffer.from(text))).toBe(text)
      }),
    )
  })

  it.each([[0xff], [0xc3], [0x22, 0xc0, 0xaf, 0x22], [0xed, 0xa0, 0x80]])(
    'refuses bytes that are not UTF-8: %s',
    (...bytes) => {
      expect(() => readUtf8(Buffer.from(bytes))).toThrow('UTF-8')
    },
  )
})

describe('fingerprint', () => {
  const keys = fc.string().filter(key => key !== '__proto__')
  const value = fc.jsonValue({ maxDepth: 4 })

  it('is 43 characters of base64url', () => {
    expect(fingerprint({ a: 1 })).toMatch(/^[\w-]{43}$/)
  })

  it('is the same whatever the order of the keys', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.tuple(keys, value), { selector: ([key]) => key }), entries => {
        const [forth, back] = [Object.fromEntries(entries), Object.fromEntries(entries.toReversed())]
        expect(fingerprint({ in: [forth] })).toBe(fingerprint({ in: [back] }))
      }),
    )
  })

  it('is the same with other white space', () => {
    fc.assert(
      fc.property(value, it => {
        expect(fingerprint(JSON.parse(JSON.stringify(it, null, 2)))).toBe(fingerprint(JSON.parse(JSON.stringify(it))))
      }),
    )
  })

  it('distinguishes values that differ', () => {
    const values = [null, 0, '0', '', false, [], {}, [[]], [{}], { a: 1 }, { a: '1' }, { a: 1, b: 1 }, { 'a":1,"b': 1 }]
    const more = [[1, 2], [2, 1], [12], ['1', '2'], 'a', 'A', 'é', 'e\u0301']
    const prints = [...values, ...more].map(fingerprint)
    expect(new Set(prints).size).toBe(prints.length)
  })

  it('treats a value that JSON does not have as JSON.stringify does', () => {
    const at = new Date(0)
    for (const it of [undefined, { a: undefined, b: at }, [undefined, at], { n: Number.NaN }, new Map([[1, 2]])]) {
      expect(fingerprint(it)).toBe(fingerprint(JSON.parse(JSON.stringify(it) ?? 'null')))
    }
    expect(fingerprint({ at })).not.toBe(fingerprint({ at: new Date(1) }))
  })

  it('compares numbers by their value and not by their notation', () => {
    expect(fingerprint(JSON.parse('[1.0,100,0.1]'))).toBe(fingerprint(JSON.parse('[1,1e2,1e-1]')))
  })
})
