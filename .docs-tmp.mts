import Fastify from 'fastify'
import { waybill } from 'waybill/fastify'
import { sqliteStore } from 'waybill/sqlite'
import { defineOperation } from 'waybill'
import { orders } from './examples/orders/orders.ts'
import { Type } from 'typebox'
const Node = Type.Object({ format: Type.Union([Type.Literal('a4'), Type.Literal('letter')], { description: 'The size of the paper.' }), pages: Type.Array(Type.Integer({ minimum: 1 }), { minItems: 1, maxItems: 500, description: 'Which pages, in order.' }), watermark: Type.Optional(Type.Object({ text: Type.String({ maxLength: 80 }), opacity: Type.Number({ minimum: 0, maximum: 1, default: 0.3 }) })) })
const exports = defineOperation({ name: 'pdf-exports', input: Node, webhooks: true, rateLimit: { requests: 100, per: '1m' }, requireIdempotencyKey: true, shareLogs: true })
const app = Fastify()
await app.register(waybill, { operations: [orders, exports], store: sqliteStore({ path: ':memory:' }), listing: true, openapi: { title: 'Orders', version: '1.4.0', description: 'Takes orders, and exports what they became. Requests are kept durably and worked on after the answer.' }, webhooks: { secrets: ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'] } } as never)
console.log(await app.listen({ port: 3977 }))
