/** Restate: a workflow for each order. Its server calls the worker, which must be registered before anything is submitted. */
import { createServer } from 'node:http2'
import type { AddressInfo } from 'node:net'
import * as restate from '@restatedev/restate-sdk'
import * as clients from '@restatedev/restate-sdk-clients'
import type { OpenQueue, Order, Result } from '../comparison/queue.ts'

/** The ports of a server: where orders come in, and where workers are registered. */
interface Urls {
  readonly ingress: string
  readonly admin: string
}

type Run = (context: restate.WorkflowContext, order: Order) => Promise<Result>

const definition = (run: Run) => restate.workflow({ name: 'orders', handlers: { run } })

export const open: OpenQueue = async ({ url }) => {
  const { ingress: ingressUrl, admin } = JSON.parse(url) as Urls
  const ingress = clients.connect({ url: ingressUrl })
  const clientOf = (id: string) => ingress.workflowClient<ReturnType<typeof definition>>({ name: 'orders' }, id)
  const server = createServer()
  return {
    submit: async (id, order) => void (await clientOf(id).workflowSubmit(order)),
    read: async id => {
      const output = await clientOf(id).workflowOutput()
      return { result: output.ready ? output.result : undefined }
    },
    ended: async id => void (await clientOf(id).workflowAttach()),
    unfinished: async () => {
      const query = `SELECT count(*) AS count FROM sys_invocation_status WHERE status != 'completed'`
      const answer = await fetch(`${admin}/query`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', accept: 'application/json' },
        body: JSON.stringify({ query }),
      })
      const { rows } = (await answer.json()) as { rows: { count: number }[] }
      return rows[0]?.count ?? 0
    },
    work: async handler => {
      const run: Run = async (_, order) => handler(order)
      server.on('request', restate.createEndpointHandler({ services: [definition(run)], logger: () => {} }))
      await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
      const uri = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
      const answer = await fetch(`${admin}/deployments`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ uri, force: true }),
      })
      if (!answer.ok) throw new Error(`The worker was not registered: ${await answer.text()}`)
    },
    close: async () => void server.close(),
  }
}
