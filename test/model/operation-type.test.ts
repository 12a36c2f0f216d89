import { Type } from 'typebox'
import { describe, expect, it } from 'vitest'
import { defineOperation, handler } from 'waybill'
import { z } from 'zod'
import { backoffMs } from '../../src/model/operation-type.ts'

/** What the declaration with these options is refused with. Options come from JavaScript too, so any will do. */
function refusal(options: object): string {
  try {
    defineOperation({ name: 'orders', ...options })
  } catch (error) {
    expect(error).toBeInstanceOf(TypeError)
    return (error as TypeError).message
  }
  throw new Error('It was not refused.')
}

describe('defineOperation', () => {
  it('fills in every default', () => {
    expect(defineOperation({ name: 'orders' })).toEqual({
      name: 'orders',
      input: undefined,
      output: undefined,
      resultKey: 'result',
      policy: {
        attempts: 3,
        lostAttempts: 10,
        backoff: { initial: 1000, factor: 2, max: 60_000, jitter: 0.5 },
        timeout: 900_000,
        startDeadline: undefined,
        retention: 604_800_000,
        bodyLimit: 1_048_576,
        concurrency: undefined,
        priority: 0,
        requireIdempotencyKey: false,
        exposeLogs: false,
        allowWebhooks: false,
        backlogLimit: undefined,
        inFlightLimit: undefined,
        rateLimit: undefined,
        redact: [],
        searchInput: false,
      },
    })
  })

  it('reads durations as people write them', () => {
    const { policy } = defineOperation({
      name: 'orders',
      timeout: '90s',
      retention: '2d',
      startDeadline: 1500,
      backoff: { initial: '250ms', max: '1.5h' },
    })
    expect(policy).toMatchObject({
      timeout: 90_000,
      retention: 172_800_000,
      startDeadline: 1500,
      backoff: { initial: 250, factor: 2, max: 5_400_000, jitter: 0.5 },
    })
  })

  it('reads a rate limit', () => {
    const { policy } = defineOperation({ name: 'orders', rateLimit: { requests: 10, per: '1m' } })
    expect(policy.rateLimit).toEqual({ requests: 10, perMs: 60_000 })
  })

  it('returns an object that cannot be changed', () => {
    const orders = defineOperation({ name: 'orders' })
    expect(Object.isFrozen(orders) && Object.isFrozen(orders.policy) && Object.isFrozen(orders.policy.backoff)).toBe(
      true,
    )
  })

  it('accepts schemas of Zod, TypeBox and plain JSON Schema unchanged', () => {
    for (const input of [z.object({}), Type.Object({}), { type: 'object' }]) {
      expect(defineOperation({ name: 'orders', input, output: input }).input).toBe(input)
    }
  })

  it.each(['a', 'orders', 'orders-2', 'a-'.repeat(32)])('accepts the name %j', name => {
    expect(defineOperation({ name }).name).toBe(name)
  })

  it.each([
    '',
    'Orders',
    '2orders',
    '-orders',
    'my orders',
    'orders/',
    '../x',
    'ördérs',
    'a'.repeat(65),
    7,
    null,
    undefined,
    ['orders'],
  ])('refuses the name %j', name => {
    expect(refusal({ name })).toContain('a name is lower-case letters')
  })

  it('accepts the minimum and the maximum of each number', () => {
    for (const options of [
      { attempts: 1, lostAttempts: 0, bodyLimit: 1, concurrency: 1, priority: -100 },
      { attempts: 100, lostAttempts: 100, bodyLimit: 104_857_600, concurrency: 10_000, priority: 100 },
    ]) {
      expect(defineOperation({ name: 'orders', ...options }).policy).toMatchObject(options)
    }
  })

  it.each([
    { attempts: 0 },
    { attempts: 101 },
    { attempts: 1.5 },
    { attempts: '3' },
    { attempts: Number.NaN },
    { lostAttempts: -1 },
    { bodyLimit: 0 },
    { bodyLimit: Number.POSITIVE_INFINITY },
    { concurrency: 0 },
    { priority: 101 },
    { timeout: '25d' },
    { timeout: -1 },
    { timeout: 'soon' },
    { timeout: '15 minutes' },
    { retention: '11y' },
    { retention: Number.NaN },
    { startDeadline: null },
    { requireIdempotencyKey: 'yes' },
    { exposeLogs: 1 },
    { webhooks: 'yes' },
    { backlogLimit: 0 },
    { inFlightLimit: 0.5 },
    { rateLimit: { requests: 0, per: '1s' } },
    { rateLimit: { requests: 1, per: '2d' } },
    { rateLimit: 5 },
    { input: 'object' },
    { output: 7 },
    { resultKey: 'id' },
    { resultKey: 'status' },
    { resultKey: '' },
    { resultKey: '__proto__' },
  ])('refuses %o, and names the operation type and the option', options => {
    const [option = ''] = Object.keys(options)
    expect(refusal(options)).toMatch(new RegExp(`^defineOperation\\("orders"\\): .*${option}`))
  })

  it.each([{ initial: '2d' }, { factor: 0.5 }, { factor: 101 }, { max: '31d' }, { jitter: -0.1 }, { jitter: 2 }])(
    'refuses the backoff %o, and names the error',
    backoff => {
      expect(refusal({ backoff })).toContain(`backoff.${Object.keys(backoff)[0]}`)
    },
  )

  it('refuses an unknown option, such as a misspelt one', () => {
    expect(refusal({ retries: 3 })).toContain('unknown option "retries"')
  })
})

describe('backoffMs', () => {
  const { policy } = defineOperation({
    name: 'orders',
    backoff: { initial: 100, factor: 3, max: 1000, jitter: 0.5 },
  })

  it('grows by its factor with each failed attempt, up to its maximum', () => {
    const waits = [1, 2, 3, 4, 100].map(failed => backoffMs(policy, failed, () => 0))
    expect(waits).toEqual([100, 300, 900, 1000, 1000])
  })

  it('subtracts a random part, which is at most its jitter', () => {
    expect(backoffMs(policy, 1, () => 0.5)).toBe(75)
    expect(backoffMs(policy, 1, () => 1)).toBe(50)
    for (let time = 0; time < 100; time++) {
      const wait = backoffMs(policy, 2)
      expect(wait).toBeGreaterThanOrEqual(150)
      expect(wait).toBeLessThanOrEqual(300)
    }
  })

  it('is constant without jitter and factor', () => {
    const steady = defineOperation({ name: 'a', backoff: { initial: '5s', factor: 1, jitter: 0 } }).policy
    expect([1, 2, 50].map(failed => backoffMs(steady, failed))).toEqual([5000, 5000, 5000])
  })
})

describe('handler', () => {
  it('pairs the operation type with its function', () => {
    const orders = defineOperation({ name: 'orders' })
    const run = () => 'done'
    expect(handler(orders, run)).toEqual({ type: orders, run })
  })
})
