/**
 * Two public contracts of asynchronous APIs, each played by a small server from its guidelines alone: Azure's data plane
 * (`Operation-Location`, a monitor) and Google's AIP-151 (`google.longrunning.Operation`). An operation takes a step
 * each time its status is read. Both are closed when the test that starts them has finished.
 */
import { randomUUID } from 'node:crypto'
import fastify, { type FastifyInstance, type FastifyReply } from 'fastify'
import { onTestFinished } from 'vitest'
import type { RunningServer } from './article-server.ts'

interface Job {
  readonly id: string
  readonly fails: boolean
  readonly createdAt: string
  reads: number
  canceled: boolean
}

/** How often the status is read before the operation ends. */
const READS = 3

class Jobs {
  readonly #jobs = new Map<string, Job>()

  create(body: unknown): Job {
    const fails = (body as { fails?: boolean }).fails === true
    const job: Job = { id: randomUUID(), fails, createdAt: new Date().toISOString(), reads: 0, canceled: false }
    this.#jobs.set(job.id, job)
    return job
  }

  get(id: string): Job | undefined {
    return this.#jobs.get(id)
  }

  /** The one of `<id>:cancel`. */
  toCancel(path: string): Job | undefined {
    return path.endsWith(':cancel') ? this.get(path.slice(0, -':cancel'.length)) : undefined
  }

  delete(id: string): boolean {
    return this.#jobs.delete(id)
  }
}

function hasEnded({ canceled, reads }: Job): boolean {
  return canceled || reads > READS
}

async function listen(app: FastifyInstance): Promise<RunningServer> {
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  const close = () => app.close()
  onTestFinished(close)
  return { url, close }
}

/** Azure REST guidelines, "Long-running operations": a POST that starts an action. */
export async function startAzureApi(): Promise<RunningServer> {
  const app = fastify({ forceCloseConnections: true })
  const jobs = new Jobs()
  const refuse = (reply: FastifyReply, status: number, code: string) =>
    reply
      .code(status)
      .header('x-ms-error-code', code)
      .send({ error: { code, message: code } })
  app.setErrorHandler((_, __, reply) => refuse(reply, 400, 'InvalidRequestBody'))

  const monitor = (job: Job) => {
    const status = job.canceled ? 'Canceled' : !hasEnded(job) ? 'Running' : job.fails ? 'Failed' : 'Succeeded'
    const end = {
      Failed: { error: { code: 'OutOfStock', message: 'No apples.' } },
      Succeeded: { result: { packed: 1 } },
    }
    return { id: job.id, status, createdDateTime: job.createdAt, ...end[status as keyof typeof end] }
  }
  const send = (reply: FastifyReply, job: Job) => {
    if (!hasEnded(job)) reply.header('retry-after', 1)
    return reply.send(monitor(job))
  }

  app.post('/orders:process', (request, reply) => {
    const job = jobs.create(request.body)
    const url = `${request.protocol}://${request.host}/operations/${job.id}?api-version=2026-11-01`
    send(reply.code(202).header('operation-location', url), job)
  })
  app.get<{ Params: { id: string } }>('/operations/:id', (request, reply) => {
    const job = jobs.get(request.params.id)
    if (job === undefined) return refuse(reply, 404, 'OperationNotFound')
    job.reads++
    return send(reply, job)
  })
  app.post<{ Params: { id: string } }>('/operations/:id', (request, reply) => {
    const job = jobs.toCancel(request.params.id)
    if (job === undefined) return refuse(reply, 404, 'OperationNotFound')
    job.canceled ||= !hasEnded(job)
    return send(reply, job)
  })
  return await listen(app)
}

/** AIP-151: the POST answers 200 with an operation, whose name is its path. */
export async function startGoogleApi(): Promise<RunningServer> {
  const app = fastify({ forceCloseConnections: true })
  const jobs = new Jobs()
  const refuse = (reply: FastifyReply, code: number, status: string) =>
    reply.code(code).send({ error: { code, message: status, status } })
  app.setErrorHandler((_, __, reply) => refuse(reply, 400, 'INVALID_ARGUMENT'))

  const operation = (job: Job) => {
    const end = job.canceled
      ? { error: { code: 1, message: 'CANCELLED' } }
      : job.fails
        ? { error: { code: 9, message: 'FAILED_PRECONDITION' } }
        : { response: { '@type': 'type.googleapis.com/example.Order', packed: 1 } }
    const metadata = { createTime: job.createdAt, progressPercent: job.reads }
    return { name: `operations/${job.id}`, metadata, done: hasEnded(job), ...(hasEnded(job) && end) }
  }

  app.post('/v1/orders:process', (request, reply) => reply.send(operation(jobs.create(request.body))))
  app.get<{ Params: { id: string } }>('/v1/operations/:id', (request, reply) => {
    const job = jobs.get(request.params.id)
    if (job === undefined) return refuse(reply, 404, 'NOT_FOUND')
    job.reads++
    return reply.send(operation(job))
  })
  app.post<{ Params: { id: string } }>('/v1/operations/:id', (request, reply) => {
    const job = jobs.toCancel(request.params.id)
    if (job === undefined) return refuse(reply, 404, 'NOT_FOUND')
    job.canceled ||= !hasEnded(job)
    return reply.send({})
  })
  app.delete<{ Params: { id: string } }>('/v1/operations/:id', (request, reply) =>
    jobs.delete(request.params.id) ? reply.send({}) : refuse(reply, 404, 'NOT_FOUND'),
  )
  return await listen(app)
}
