/**
 * `node scripts/options-reference.ts`: writes docs/reference/options.md from the interfaces of the options and their doc
 * comments. A test compares the page with them.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { type ESTree, parseSync } from 'rolldown/utils'
import { root } from './tools.ts'

/** The interfaces of one function, under the heading that names it. */
interface Section {
  readonly title: string
  readonly about: string
  /** `file#Interface`, without `src/` and `.ts`. */
  readonly of: readonly string[]
}

const SECTIONS: readonly Section[] = [
  {
    title: 'defineOperation',
    about: 'What an operation type is, and its policy.',
    of: ['model/operation-type#OperationTypeOptions'],
  },
  {
    title: 'createWaybill, and the Fastify plugin',
    about:
      'The composition. `app.register(waybill, …)` takes it too, or `waybill`: a composition that is made already.',
    of: ['waybill#WaybillOptions'],
  },
  { title: 'worker', about: 'How a process runs handlers.', of: ['worker/make-worker#WorkerOptions'] },
  {
    title: 'dispatcher',
    about: 'How a process starts executions on another engine.',
    of: ['launchers/make-dispatcher#DispatcherOptions'],
  },
  {
    title: 'autoscale',
    about: 'How a process requests executions that drain the backlog.',
    of: ['launchers/make-autoscaler#AutoscaleOptions'],
  },
  { title: 'webhooks', about: 'How a process sends webhooks.', of: ['webhooks/webhooks-options#WebhooksOptions'] },
  {
    title: 'The Fastify plugin, fetchHandler, nodeListener',
    about:
      'How the API is put on a server. Fastify has `prefix` itself. `authenticated` and `base` are for `createRoutes` of `waybill/adapters` alone.',
    of: [
      'http/routes#ApiOptions',
      'http/principal#CallerOptions',
      'http/admin/operator-identity#AdminCallerOptions',
      'servers/web-server#WebServerOptions',
    ],
  },
  {
    title: 'admin',
    about: 'Who operates the API over the operations of all callers, and what the admin API shows.',
    of: ['http/admin/operator-identity#AdminOptions', 'http/admin/operator-identity#AdminViewOptions'],
  },
  {
    title: 'mcp',
    about: 'How operations are offered to agents. `true` takes every default.',
    of: ['http/mcp/mcp#McpOptions'],
  },
  {
    title: 'mcp.authorization',
    about: 'Where clients of MCP get a token.',
    of: ['http/mcp/mcp#McpAuthorization'],
  },
  { title: 'tool', about: 'How an operation type is offered to agents.', of: ['model/tool#ToolOptions'] },
  { title: 'cors', about: 'Which pages of other origins may use the API.', of: ['http/cors#CorsOptions'] },
  {
    title: 'runOperation',
    about: 'What an execution needs. It takes the options of `worker` too, except those for several attempts.',
    of: ['worker/run-operation#RunOperationOptions'],
  },
  { title: 'sqliteStore', about: '', of: ['stores/sqlite/sqlite-options#SqliteStoreOptions'] },
  {
    title: 'postgresStore',
    about: 'The pool is the first argument.',
    of: ['stores/postgres/postgres-options#PostgresStoreOptions'],
  },
  {
    title: 'cosmosStore',
    about: 'The container is the first argument.',
    of: ['stores/cosmos/cosmos-options#CosmosStoreOptions'],
  },
  { title: 'folderBlobs', about: '', of: ['blobs/folder/folder#FolderBlobsOptions'] },
  {
    title: 'postgresBlobs',
    about: 'The pool is the first argument.',
    of: ['blobs/postgres/postgres#PostgresBlobsOptions'],
  },
  { title: 'processLauncher', about: '', of: ['launchers/process/process#ProcessLauncherOptions'] },
  {
    title: 'containerAppsJob',
    about: 'The client is the first argument.',
    of: ['launchers/container-apps/container-apps#ContainerAppsJobOptions'],
  },
  {
    title: 'kubernetesJob',
    about: 'The API is the first argument.',
    of: ['launchers/kubernetes/kubernetes#KubernetesJobOptions'],
  },
  {
    title: 'storageQueue',
    about: 'The client is the first argument.',
    of: ['launchers/azure-storage-queue/azure-storage-queue#StorageQueueOptions'],
  },
  { title: 'fetchAndWait, attach', about: 'Beside what `fetch` takes.', of: ['client/wait#WaitOptions'] },
  { title: 'client', about: '', of: ['client/requests#ClientOptions'] },
]

interface Option {
  readonly name: string
  readonly isRequired: boolean
  readonly type: string
  readonly doc: string
}

if (import.meta.main) writeFileSync(`${root}docs/reference/options.md`, optionsPage())

/** The page. */
export function optionsPage(): string {
  return `# Options

An unknown option, or an invalid one, fails at once, and the message names it. A former name fails with the new name. Only the client, which browsers load, checks none. A \`Duration\` is a number of milliseconds or a string such as \`'250ms'\`, \`'30s'\`, \`'15m'\`, \`'2h'\`, \`'7d'\`.

This page is generated from the source by \`node scripts/options-reference.ts\`.

${SECTIONS.map(sectionText).join('\n')}`
}

function sectionText({ title, about, of }: Section): string {
  const options = of.flatMap(readOptions)
  const rows = options.map(({ name, isRequired, type, doc }) => {
    const { text, fallback } = splitDefault(doc)
    return `| \`${name}\` | \`${type.replaceAll('|', '\\|')}\` | ${isRequired ? 'required' : fallback} | ${text} |`
  })
  const head = ['| option | type | default | |', '|---|---|---|---|']
  return [`## ${title}`, '', ...(about === '' ? [] : [about, '']), ...head, ...rows, ''].join('\n')
}

/** The options of an interface. */
export function readOptions(place: string): Option[] {
  const [path, name] = place.split('#')
  const file = `src/${path}.ts`
  const source = readFileSync(root + file, 'utf8')
  const { program, comments } = parseSync(file, source)
  const found = program.body.map(declared).find(node => node?.id.name === name)
  if (found === undefined) throw new Error(`${file} has no interface ${name}.`)
  return found.body.body.flatMap(member => {
    if (member.type !== 'TSPropertySignature' || member.key.type !== 'Identifier') return []
    const before = comments.filter(({ end }) => end < member.start).at(-1)
    const isOwn = before !== undefined && source.slice(before.end, member.start).trim() === ''
    const { start = 0, end = 0 } = member.typeAnnotation?.typeAnnotation ?? {}
    return [
      {
        name: member.key.name,
        isRequired: !member.optional,
        type: source
          .slice(start, end)
          .replace(/^\((.*)\) \| undefined$| \| undefined$/, '$1')
          .replaceAll(/\s+/g, ' '),
        doc: isOwn ? textOf(before.value) : '',
      },
    ]
  })
}

function declared(node: ESTree.Program['body'][number]): ESTree.TSInterfaceDeclaration | undefined {
  const declaration = node.type === 'ExportNamedDeclaration' ? node.declaration : node
  return declaration?.type === 'TSInterfaceDeclaration' ? declaration : undefined
}

/** A doc comment as one line, without its example. */
function textOf(comment: string): string {
  const lines = comment.replace(/@example.*/s, '').split('\n')
  const text = lines.map(line => line.replace(/^\s*\*+ ?/, '').trim()).join(' ')
  return text
    .replaceAll(/\{@link (?:\w+\.)?(\w+)\}/g, '`$1`')
    .replaceAll('|', '\\|')
    .trim()
}

/** A comment says the default in its last sentence. */
function splitDefault(doc: string): { readonly text: string; readonly fallback: string } {
  const match = /(?:^|\s)Default(?::| and maximum:)? (.+?)\.?$/.exec(doc)
  return match === null ? { text: doc, fallback: '' } : { text: doc.slice(0, match.index), fallback: match[1] ?? '' }
}
