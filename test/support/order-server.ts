/** An order desk for tests of the wire: what happens to an order is what its body wishes. */
import fastify from 'fastify'
import { defineOperation, handler, type Job, type OperationTypeOptions, ProblemError } from 'waybill'
import { waybill as plugin } from 'waybill/fastify'
import { z } from 'zod'
import type { Handler } from '../../src/model/handler.ts'
import type { PluginOptions } from '../../src/servers/fastify.ts'
import type { Waybill, WaybillOptions } from '../../src/waybill.ts'
import { byHeader, type Served } from './http.ts'
import type { TestContext } from './waybill.ts'

/** Complete, fail with 422, fail with an error, ask for an approval, or run until the desk lets go of it or it is canceled. */
export const Order = z.object({ wish: z.enum(['complete', 'fail', 'crash', 'hold', 'ask']) })

export type Wish = z.infer<typeof Order>['wish']

/** The type under a policy for the test. */
export function ordersWith(
  policy: Omit<OperationTypeOptions<'orders', typeof Order, undefined, 'order'>, 'name'> = {},
) {
  return defineOperation({ name: 'orders', input: Order, resultKey: 'order', attempts: 1, ...policy })
}

export const orders = ordersWith()

/** Does the work, and has it wait where the test says so. */
export class OrderServer {
  #gate = Promise.withResolvers<void>()
  readonly handlers: Handler

  /** @param type a variant of {@link orders} */
  constructor(type: typeof orders = orders) {
    this.handlers = handler(type, (input, job) => this.#serve((input as z.infer<typeof Order>).wish, job))
  }

  /** Lets every order go that is held now. */
  letGo(): void {
    this.#gate.resolve()
    this.#gate = Promise.withResolvers<void>()
  }

  async #serve(wish: Wish, job: Job): Promise<unknown> {
    if (wish === 'fail') throw new ProblemError({ status: 422, title: 'Out of stock', code: 'out-of-stock' })
    if (wish === 'crash') throw new Error('a secret of the server')
    if (wish === 'hold') await this.#hold(job)
    if (wish === 'ask')
      return { packed: await job.ask('approval', { message: 'Pack it?', schema: { type: 'boolean' } }) }
    return { packed: true }
  }

  async #hold(job: Job): Promise<void> {
    const { promise } = this.#gate
    job.log('held')
    job.progress(0.5, 'packing')
    const canceled = new Promise<never>((_, reject) => {
      job.signal.addEventListener('abort', () => reject(job.signal.reason), { once: true })
    })
    await Promise.race([promise, canceled])
  }
}

/** The caller without saying who it is. */
export const ANYONE = 'anyone'

const byHeaderOrAnyone: typeof byHeader = async request => (await byHeader(request)) || ANYONE

/** An open desk: a composition, and its API. */
export interface OpenOrderServer extends Served {
  readonly desk: OrderServer
  readonly waybill: Waybill
}

export interface OpenDeskOptions {
  readonly type?: typeof orders
  /** The API; the caller is what the header `x-user` says, and {@link ANYONE} without it. */
  readonly api?: PluginOptions & { readonly prefix?: string }
  /** The composition; `worker: false` leaves every order pending. */
  readonly waybill?: Omit<Partial<WaybillOptions>, 'worker' | 'operations'> & { readonly worker?: false }
}

/** Opens a desk that takes requests by `inject`. */
export async function openOrderServer(lab: TestContext, options: OpenDeskOptions = {}): Promise<OpenOrderServer> {
  const { type = orders } = options
  const desk = new OrderServer(type)
  const { worker, ...composed } = options.waybill ?? {}
  const waybill = await lab.waybill([type], {
    ...(worker !== false && { worker: { handlers: desk.handlers } }),
    ...composed,
  })
  const app = fastify({ forceCloseConnections: true })
  await app.register(plugin, { waybill, principal: byHeaderOrAnyone, ...options.api })
  lab.onEnd(() => app.close())
  return { desk, waybill, app, store: waybill.store }
}
