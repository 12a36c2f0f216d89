import { describe, expect, it } from 'vitest'
import { type Destination, FairQueue } from '../../src/webhooks/fair-queue.ts'

/** A queue whose sends end when the test says so, and the order in which they began. */
function started(options: { slots: number; room: number }) {
  const queue = new FairQueue(options)
  const began: string[] = []
  const ends = new Map<string, (answered: boolean) => void>()
  const send = (name: string, to: Destination, signal = new AbortController().signal) =>
    queue.inTurn(to, signal, () => {
      began.push(name)
      return new Promise<boolean>(resolve => ends.set(name, resolve))
    })
  const end = async (name: string, answered = true) => {
    ends.get(name)?.(answered)
    await turn()
  }
  return { queue, began, send, end }
}

/** Everything that follows at once has happened. */
const turn = () => new Promise(resolve => setImmediate(resolve))

describe('free slots', () => {
  it('are given to owners in turn, and to the hosts of each owner in turn', async () => {
    const { began, send, end } = started({ slots: 1, room: 100 })
    const all: [string, Destination][] = [
      ['ann a 1', { owner: 'ann', host: 'a' }],
      ['ann a 2', { owner: 'ann', host: 'a' }],
      ['ann a 3', { owner: 'ann', host: 'a' }],
      ['ann b 1', { owner: 'ann', host: 'b' }],
      ['bob c 1', { owner: 'bob', host: 'c' }],
      ['bob c 2', { owner: 'bob', host: 'c' }],
    ]
    const sent = all.map(([name, to]) => send(name, to))
    for (let n = 0; n < all.length; n++) {
      await turn()
      await end(began.at(-1) ?? '')
    }
    await Promise.all(sent)
    expect(began).toEqual(['ann a 1', 'ann a 2', 'bob c 1', 'ann b 1', 'bob c 2', 'ann a 3'])
  })

  it('are limited for one host, one owner, and hosts that do not answer', async () => {
    const { began, send, end } = started({ slots: 20, room: 1000 })
    const to = (owner: string, host: string) => ({ owner, host })
    for (let n = 0; n < 30; n++) void send(`one ${n}`, to('ann', 'one'))
    await turn()
    expect(began).toHaveLength(5)
    for (let n = 0; n < 30; n++) void send(`many ${n}`, to('ann', `many ${n}`))
    await turn()
    expect(began).toHaveLength(15)
    void send('bob', to('bob', 'his'))
    await turn()
    expect(began.at(-1)).toBe('bob')

    // Of the failing hosts no more than two are sent to at once, whichever owner they belong to.
    for (const name of began.filter(it => it.startsWith('many')).slice(0, 4)) await end(name, false)
    const before = began.length
    for (let n = 0; n < 4; n++) void send(`again ${n}`, to(`owner ${n}`, `many ${n}`))
    await turn()
    expect(began.slice(before)).toHaveLength(2)
    await end('again 0')
    expect(began.slice(before)).toHaveLength(3)
  })
})

it('a full queue leaves further deliveries to the store', async () => {
  const { queue, send } = started({ slots: 4, room: 40 })
  for (let n = 0; n < 11; n++) void send(`${n}`, { owner: 'ann', host: 'one' })
  expect(queue.isFull({ owner: 'ann', host: 'one' })).toBe(true)
  expect(queue.isFull({ owner: 'ann', host: 'other' })).toBe(false)
  for (let n = 0; n < 40; n++) void send(`${n}`, { owner: 'ann', host: `${n}` })
  expect(queue.isFull({ owner: 'ann', host: 'other' })).toBe(true)
  expect(queue.isFull({ owner: 'bob', host: 'other' })).toBe(false)
})

it('an aborted delivery leaves the queue', async () => {
  const { began, send, end } = started({ slots: 1, room: 10 })
  const stop = new AbortController()
  const first = send('first', { owner: '', host: 'a' })
  const aborted = send('aborted', { owner: '', host: 'a' }, stop.signal)
  const last = send('last', { owner: '', host: 'a' })
  stop.abort(new Error('No longer.'))
  await expect(aborted).rejects.toThrow('No longer.')
  await end('first')
  await end('last')
  await Promise.all([first, last])
  expect(began).toEqual(['first', 'last'])
})
