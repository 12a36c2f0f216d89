import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fingerprint, MAX_JSON_DEPTH, parseJson } from '../src/json.ts'
import { ProblemError } from '../src/problem.ts'

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
  ])('refuses %j, which is no JSON', text => {
    expect(refusal(text).code).toBe('invalid-json')
  })

  it('reads what is nested as deep as it may be, and refuses what is deeper', () => {
    for (const pair of [ARRAYS, OBJECTS]) {
      expect(() => parseJson(nested(MAX_JSON_DEPTH, pair))).not.toThrow()
      expect(refusal(nested(MAX_JSON_DEPTH + 1, pair)).detail).toContain('nested deeper than 100')
    }
  })

  it('refuses hostile depth without running out of stack, well formed or not', () => {
    for (const text of [nested(1_000_000), '['.repeat(1_000_000), '{"a":'.repeat(200_000)]) {
      expect(refusal(text).code).toBe('invalid-json')
    }
  })

  it('does not take brackets in strings for nesting', () => {
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
  ])('refuses %s, whose key poisons prototypes', text => {
    expect(refusal(text).code).toBe('invalid-json')
  })

  it('reads a harmless key of the same name', () => {
    expect(parseJson('{"constructor":"Brunel","prototype":1}')).toEqual({ constructor: 'Brunel', prototype: 1 })
  })
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

  it('is the same after JSON was written and read, with other white space', () => {
    fc.assert(
      fc.property(value, it => {
        expect(fingerprint(JSON.parse(JSON.stringify(it, null, 2)))).toBe(fingerprint(JSON.parse(JSON.stringify(it))))
      }),
    )
  })

  it('tells values apart that differ', () => {
    const values = [null, 0, '0', '', false, [], {}, [[]], [{}], { a: 1 }, { a: '1' }, { a: 1, b: 1 }, { 'a":1,"b': 1 }]
    const more = [[1, 2], [2, 1], [12], ['1', '2'], 'a', 'A', 'é', 'e\u0301']
    const prints = [...values, ...more].map(fingerprint)
    expect(new Set(prints).size).toBe(prints.length)
  })

  it('takes numbers by their value and not by how they are written', () => {
    expect(fingerprint(JSON.parse('[1.0,100,0.1]'))).toBe(fingerprint(JSON.parse('[1,1e2,1e-1]')))
  })
})
