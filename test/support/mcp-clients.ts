/** The official clients of revision 2026-07-28, as a host uses them. */
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { createTaskSessionFromClient, type RawClientDispatch } from '@modelcontextprotocol/ext-tasks/client'
import { KNOWS_TASKS } from './mcp.ts'

export const INFO = { name: 'test', version: '1.0.0' }

/** A server as such a client needs it. */
interface McpServer {
  /** Without the path. */
  readonly url: string
}

/** A client that is connected, whose user gives an answer to every question; one without an answer has nobody to ask. */
export async function connectClient(api: McpServer, capabilities: object = {}, content?: object): Promise<Client> {
  const client = new Client(INFO, { versionNegotiation: { mode: 'auto' }, capabilities })
  if ('elicitation' in capabilities) {
    client.setRequestHandler('elicitation/create', async () => ({ action: 'accept', content }) as never)
  }
  await client.connect(new StreamableHTTPClientTransport(new URL(`${api.url}/mcp`)))
  return client
}

/** What the host of such a client gives to the package for tasks, since the client itself refuses them. */
function rawDispatch(api: McpServer): RawClientDispatch {
  let lastId = 0
  return async (request, options) => {
    const { method, params } = request as { method: string; params: { name?: string; taskId?: string } }
    const headers = {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'mcp-protocol-version': '2026-07-28',
      'mcp-method': method,
      'mcp-name': params.name ?? params.taskId ?? '',
    }
    const body = JSON.stringify({ jsonrpc: '2.0', id: ++lastId, method, params })
    const response = await fetch(`${api.url}/mcp`, { method: 'POST', headers, body, signal: options?.signal ?? null })
    const message = (await response.json()) as { result: never; error?: never }
    return message.error === undefined
      ? { kind: 'result', result: message.result }
      : { kind: 'error', error: message.error }
  }
}

/** Calls of tools that may become tasks. */
export function taskSession(client: Client, api: McpServer, content?: object) {
  return createTaskSessionFromClient(client, {
    endpointId: 'shop',
    rawDispatch: rawDispatch(api),
    v2RequestFraming: {
      protocolVersion: '2026-07-28',
      clientInfo: INFO,
      clientCapabilities: { ...KNOWS_TASKS, ...(content && { elicitation: {} }) },
    },
    onInputRequest: async () => ({ action: 'accept', content }) as never,
  })
}
