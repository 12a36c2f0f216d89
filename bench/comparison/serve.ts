/** The HTTP side of a queue, as its user would write it on Fastify: 202 with a Location, a status URL that can wait, 303, a result URL. */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import fastify, { type FastifyInstance } from 'fastify'
import { ORDER_SCHEMA } from '../orders.ts'
import type { Order, Queue, State } from './queue.ts'

const WAIT_MS = 10_000
const READ_EVERY_MS = 10

/** Makes the server, which does not listen yet. */
export function queueServer(queue: Queue): FastifyInstance {
  const app = fastify()
  app.post<{ Body: Order }>('/orders', { schema: { body: ORDER_SCHEMA } }, async ({ body }, reply) => {
    const id = randomUUID()
    await queue.submit(id, body)
    const location = `/orders/status/${id}`
    return reply.code(202).headers({ location, 'retry-after': '1' }).send({ id, status: 'pending' })
  })
  app.get<{ Params: { id: string } }>('/orders/status/:id', async ({ params: { id }, headers }, reply) => {
    const waits = `${headers.prefer}`.startsWith('wait')
    const state = waits ? await readEnded(queue, id) : await queue.read(id)
    if (state === undefined) return reply.code(404).send({ title: 'Not found' })
    if (state.result === undefined) return reply.headers({ 'retry-after': '1' }).send({ id, status: 'pending' })
    return reply
      .code(303)
      .headers({ location: `/orders/${id}` })
      .send({ id, status: 'completed' })
  })
  app.get<{ Params: { id: string } }>('/orders/:id', async ({ params: { id } }, reply) => {
    const state = await queue.read(id)
    return state?.result ?? reply.code(404).send({ title: 'Not found' })
  })
  return app
}

async function readEnded(queue: Queue, id: string): Promise<State | undefined> {
  const before = performance.now()
  if (queue.ended !== undefined) await queue.ended(id, WAIT_MS)
  let state = await queue.read(id)
  while (state !== undefined && state.result === undefined && performance.now() - before < WAIT_MS) {
    await sleep(READ_EVERY_MS)
    state = await queue.read(id)
  }
  return state
}
