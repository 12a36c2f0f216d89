import fc from 'fast-check'
import { describe, expect, it, test } from 'vitest'
import { STATUSES } from '../../src/model/protocol.ts'
import { FilterError, formatFilter, parseFilter } from '../../src/operator/filter.ts'
import type { OperatorFilter } from '../../src/stores/store.ts'

const NOW = Date.parse('2026-11-29T12:00:00.000Z')
const HOUR = 3_600_000

describe('the text of a filter', () => {
  test.each<[string, OperatorFilter]>([
    ['', {}],
    ['   ', {}],
    ['status:failed', { status: 'failed' }],
    ['Status:FAILED', { status: 'failed' }],
    ['type:orders owner:ada', { type: 'orders', owner: 'ada' }],
    ['owner:"Ada Lovelace"  some words', { owner: 'Ada Lovelace', search: 'some words' }],
    ['owner:""', { owner: '' }],
    ['problem:card-declined', { problem: 'card-declined' }],
    ['tag:customer=Ada', { tag: { name: 'customer', value: 'Ada' } }],
    ['tag:"customer=Ada = Co"', { tag: { name: 'customer', value: 'Ada = Co' } }],
    ['since:2h', { createdAfter: NOW - 2 * HOUR }],
    ['since:2026-11-29', { createdAfter: Date.parse('2026-11-29T00:00:00Z') }],
    ['until:2026-11-29', { createdBefore: Date.parse('2026-11-30T00:00:00Z') }],
    ['until:2026-11-29T08:30:00+01:00', { createdBefore: Date.parse('2026-11-29T07:30:00Z') }],
    ['key:a:b execution:job-1 holder:host/1/x', { key: 'a:b', execution: 'job-1', holder: 'host/1/x' }],
    ['"status:failed"', { search: 'status:failed' }],
    [String.raw`"a \"quoted\" \\ word"`, { search: String.raw`a "quoted" \ word` }],
    ['01941f29-7c00', { search: '01941f29-7c00' }],
    ['12:30', { search: '12:30' }],
  ])('%s', (text, filter) => {
    expect(parseFilter(text, NOW)).toEqual(filter)
  })

  test.each<[string, string, string]>([
    ['state:failed', 'state:failed', 'there is no "state"; use one of status, type, owner'],
    ['constructor:x', 'constructor:x', 'there is no "constructor"'],
    ['status:done', 'status:done', 'a status is one of pending, running, completed, failed, canceled'],
    ['type:', 'type:', 'give a value after the colon'],
    ['type:a type:b', 'type:b', '"type" is given twice'],
    ['tag:customer', 'tag:customer', 'a tag is written as tag:name=value'],
    ['tag:=Ada', 'tag:=Ada', 'a tag is written as tag:name=value'],
    ['since:yesterday', 'since:yesterday', 'write how long ago, such as 2h'],
    ['since:2026-13-41', 'since:2026-13-41', 'write how long ago'],
    ['since:2026-02-29', 'since:2026-02-29', 'write how long ago'],
    ['since:2026', 'since:2026', 'write how long ago'],
    ['owner:"Ada', 'owner:"Ada', 'the quotes are not closed'],
    ['"Ada"x', '"Ada"x', 'the quotes are not closed'],
  ])('%s is refused', (text, token, cure) => {
    expect(() => parseFilter(text, NOW)).toThrow(FilterError)
    expect(() => parseFilter(text, NOW)).toThrow(cure)
    expect(() => parseFilter(text, NOW)).toThrow(`${token}: `)
  })

  it('gives the same filter when it is parsed again', () => {
    const text = fc.string({ unit: 'grapheme', maxLength: 20 })
    const time = fc.integer({ min: 0, max: 4e12 })
    const filter: fc.Arbitrary<OperatorFilter> = fc.record(
      {
        type: text,
        owner: text,
        status: fc.constantFrom(...STATUSES),
        problem: text,
        createdAfter: time,
        createdBefore: time,
        key: text,
        execution: text,
        holder: text,
        tag: fc.record({ name: fc.stringMatching(/^[A-Za-z0-9_.-]{1,40}$/), value: text }),
        search: fc.oneof(text, fc.constantFrom('a b', 'a  b', ' a', 'a:b', 'status:x', '"', '\\', '')),
      },
      { requiredKeys: [] },
    )
    fc.assert(
      fc.property(filter, it => {
        expect(parseFilter(formatFilter(it), NOW)).toEqual(it)
      }),
    )
  })

  it('is short if possible', () => {
    expect(formatFilter({ search: 'some words', tag: { name: 'customer', value: 'Ada' }, status: 'failed' })).toBe(
      'status:failed tag:customer=Ada some words',
    )
  })
})
