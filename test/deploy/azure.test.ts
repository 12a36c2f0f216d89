/**
 * What is deployed to Azure fits the code, as far as that can be seen without Azure and its compiler: grammar, names,
 * properties, roles, probes, references between files.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { loadYaml } from '@kubernetes/client-node'
import { describe, expect, it, test } from 'vitest'
import { readBicep } from '../support/bicep.ts'

const ROOT = new URL('../../', import.meta.url)
const DEPLOY = new URL('deploy/azure/', ROOT)

function read(path: string, base = ROOT): string {
  return readFileSync(new URL(path, base), 'utf8')
}

const files = new Map(
  ['main.bicep', ...readdirSync(new URL('modules/', DEPLOY)).map(name => `modules/${name}`)].map(name => [
    name,
    read(name, DEPLOY),
  ]),
)

function file(name: string): string {
  return files.get(name) ?? expect.fail(`There is no ${name}.`)
}

/** The environment of the container of a name. */
function environmentOf(name: string, container: string): Map<string, string> {
  const [, after = ''] = file(name).split(`name: '${container}'\n`)
  const [, list = ''] = /env: \[\n([\s\S]*?)\n\s*\]\n/.exec(after) ?? []
  return new Map([...list.matchAll(/name: '(\w+)', value: (.*) \}/g)].map(([, key = '', value = '']) => [key, value]))
}

/** The variables that a program of the example reads, in itself and in what it imports. */
function readBy(...paths: string[]): Set<string> {
  const text = paths.map(path => read(path)).join('\n')
  const named = [...text.matchAll(/(?:process\.env\.|(?:env|whole|oneOf|required)\(')([A-Z][A-Z_]+)/g)]
  // What DefaultAzureCredential reads.
  return new Set([...named.map(([, name = '']) => name), 'AZURE_CLIENT_ID'])
}

describe.each([...files])('%s', (_, text) => {
  it('is valid Bicep, and uses everything that it declares and nothing else', () => {
    const { errors, unknown, unused } = readBicep(text)
    expect({ errors, unknown, unused }).toEqual({ errors: [], unknown: [], unused: [] })
  })

  it('refers to existing modules, parameters and outputs', () => {
    const modules = [...text.matchAll(/^module (\w+) '([^']+)'[\s\S]*?^}/gm)]
    for (const [whole, symbol = '', path = ''] of modules) {
      const target = file(path)
      const [, params = ''] = /params: \{([\s\S]*)\}/.exec(whole) ?? []
      const given = [...params.matchAll(/(?:^|[\s,{])(\w+):\s/g)].map(([, it]) => it)
      const taken = [...target.matchAll(/^param (\w+) \w+(?! =)$/gm)].map(([, it]) => it)
      expect([path, given.sort()]).toEqual([path, taken.sort()])
      for (const [, output] of text.matchAll(new RegExp(`\\b${symbol}!?\\.outputs\\.(\\w+)`, 'g'))) {
        expect(target).toMatch(new RegExp(`^output ${output} `, 'm'))
      }
    }
  })

  it('contains no key, no password and no connection string', () => {
    expect(text).not.toMatch(
      /listKeys|listCredentials|listSecrets|connectionString|AccountKey|secretRef|secrets:|@secure/i,
    )
  })
})

/** The paths of what is neither an object nor a list. */
function leaves(value: unknown, path = ''): string[] {
  if (typeof value !== 'object' || value === null) return [path]
  return Object.entries(value).flatMap(([key, inner]) => leaves(inner, `${path}/${key}`))
}

type ToAndFro = Record<string, (value: unknown) => unknown>

test.each([
  ['containerApp', 'modules/api.bicep'],
  ['containerApp', 'modules/worker.bicep'],
  ['job', 'modules/jobs.bicep'],
  ['managedEnvironment', 'modules/environment.bicep'],
])('every property of a %s in %s exists in the SDK of Container Apps', async (model, name) => {
  const models = new URL('node_modules/@azure/arm-appcontainers/dist/esm/models/models.js', ROOT)
  const { [`${model}Serializer`]: write, [`${model}Deserializer`]: read } = (await import(models.href)) as ToAndFro
  const resources = readBicep(file(name)).resources.filter(({ type }) => type === `Microsoft.App/${model}s`)
  expect(resources).not.toEqual([])
  for (const { body } of resources) {
    const kept = new Set(leaves(JSON.parse(JSON.stringify(write?.(read?.(body))))))
    // The name stands in the URL.
    expect(leaves(body).filter(path => !kept.has(path) && !/^\/(name|tags)$/.test(path))).toEqual([])
  }
})

describe('azd', () => {
  const project = loadYaml<{
    infra: { path: string; module: string; provider: string }
    services: Record<string, { project: string; host: string; docker: { path: string } }>
    workflows: { up: { steps: Record<string, string>[] } }
  }>(read('azure.yaml'))

  it('finds the template, the image and the app', () => {
    const { path, module, provider } = project.infra
    expect([provider, existsSync(new URL(`${path}/${module}.bicep`, ROOT))]).toEqual(['bicep', true])
    const { api, ...others } = project.services
    expect([api?.host, Object.keys(others)]).toEqual(['containerapp', []])
    expect(existsSync(new URL(`${api?.project}/${api?.docker.path}`, ROOT))).toBe(true)
    expect(file('modules/api.bicep')).toContain("'azd-service-name': 'api'")
    expect(file('main.bicep')).toContain("'azd-env-name': environmentName")
    expect(file('main.bicep')).toMatch(/^output AZURE_CONTAINER_REGISTRY_ENDPOINT string/m)
  })

  it('sets the built image in jobs and probes', () => {
    expect(project.workflows.up.steps.map(({ azd }) => azd)).toEqual(['provision', 'deploy --all', 'provision'])
    const { parameters } = JSON.parse(read('main.parameters.json', DEPLOY)) as {
      parameters: Record<string, { value: string }>
    }
    const taken = [...file('main.bicep').matchAll(/^param (\w+)/gm)].map(([, name]) => name)
    expect(Object.keys(parameters)).toEqual(taken)
    expect(parameters.image?.value).toMatch(/^\$\{SERVICE_API_IMAGE_NAME=\}$/)
  })

  it('never sets a running API back to the placeholder image, also from a machine that never deployed', () => {
    const { parameters } = JSON.parse(read('main.parameters.json', DEPLOY)) as {
      parameters: Record<string, { value: string }>
    }
    expect(parameters.apiExists?.value).toMatch(/^\$\{SERVICE_API_RESOURCE_EXISTS=false\}$/)
    const main = file('main.bicep')
    expect(main).toContain('var usedImage = empty(image) ? current.outputs.image : image')
    expect(main.match(/^ +image: .*/gm)?.map(line => line.trim())).toEqual([1, 2, 3].map(() => 'image: usedImage'))
    expect(main).toMatch(/^output SERVICE_API_IMAGE_NAME string = usedImage$/m)
    const image = file('modules/image.bicep')
    expect(image).toMatch(/existing = if \(exists\) \{\n {2}name: 'api-\$\{token\}'/)
    expect(file('modules/api.bicep')).toMatch(/name: 'api-\$\{token\}'/)
    // What stands in for an image is none: the next deployment may put it there again.
    const [, prefix = ''] = /placeholders = '([^']+)'/.exec(image) ?? []
    for (const name of ['modules/api.bicep', 'modules/jobs.bicep', 'modules/worker.bicep']) {
      expect(/'(mcr\.microsoft\.com[^']+)'/.exec(file(name))?.[1]).toMatch(new RegExp(`^${prefix}`))
    }
  })
})

describe('the API', () => {
  const environment = environmentOf('modules/api.bicep', 'api')

  it('gets the variables that the example reads, and no others', () => {
    const known = readBy(
      'examples/orders/settings.ts',
      'examples/orders/container-apps.ts',
      'examples/orders/storage-queue.ts',
    )
    expect([...environment.keys()].filter(name => !known.has(name))).toEqual([])
    const needed = ['WAYBILL_STORE', 'WAYBILL_RUN', 'WAYBILL_JOB', 'WAYBILL_QUEUE', 'AZURE_CLIENT_ID']
    expect([...environment.keys()]).toEqual(expect.arrayContaining([...needed, 'AZURE_RESOURCE_GROUP', 'HOST', 'PORT']))
    for (const [, mode] of (environment.get('WAYBILL_RUN') ?? '').matchAll(/[?:] '([\w-]+)'/g)) {
      expect(read('examples/orders/settings.ts')).toContain(`'${mode}'`)
    }
  })

  it('has probes for its health endpoints', () => {
    const probes = [...file('modules/api.bicep').matchAll(/type: '(\w+)', httpGet: \{ path: '([^']+)'/g)]
    expect(probes.map(([, type, path]) => [type, path])).toEqual([
      ['Startup', '/healthz'],
      ['Liveness', '/healthz'],
      ['Readiness', '/readyz'],
    ])
    expect(read('src/http/routes.ts')).toContain("'/readyz'")
    expect(file('modules/api.bicep')).toMatch(/minReplicas: [1-9]/)
  })
})

/** The programs of the image that a file names are there. */
function expectPrograms(text: string): void {
  const programs = [...text.matchAll(/'((?:examples|dist)\/[\w/.-]+)'/g)].map(([, program = '']) => program)
  expect(programs).not.toEqual([])
  const missing = programs.filter(program => !existsSync(new URL(program.replace(/^dist(.*)\.js$/, 'src$1.ts'), ROOT)))
  expect(missing).toEqual([])
}

describe('the worker', () => {
  const text = file('modules/worker.bicep')

  it('is the default, and has no replicas if jobs do the work', () => {
    expect(file('main.bicep')).toContain("param run string = 'worker'")
    expect(read('main.parameters.json', DEPLOY)).toContain('WAYBILL_DEPLOY_RUN=worker')
    expect(file('main.bicep')).toContain("enabled: run == 'worker'")
    expect(text).toContain('minReplicas: runs ? 1 : 0')
    const modes = environmentOf('modules/api.bicep', 'api').get('WAYBILL_RUN')
    expect(modes).toBe("run == 'job' ? 'container-apps' : run == 'drain' ? 'storage-queue' : 'none'")
  })

  it('runs a program of the image without an end, with the variables that it reads', () => {
    expectPrograms(text)
    expect([...environmentOf('modules/worker.bicep', 'worker').keys()]).toEqual(['WAYBILL_STORE', 'AZURE_CLIENT_ID'])
    expect(text).not.toContain('--until-idle')
    expect(text).not.toMatch(/ingress: \{/)
  })
})

describe('the jobs', () => {
  const text = file('modules/jobs.bicep')

  it('are two resources: one for the launcher, and one for KEDA', () => {
    expect([...text.matchAll(/triggerType: '(\w+)'/g)].map(([, type]) => type)).toEqual(['Manual', 'Event'])
    expect(text.match(/replicaRetryLimit: 0/g)).toHaveLength(2)
    expect(text).toMatch(/type: 'azure-queue'\n\s*identity: identityId/)
  })

  it('run programs of the image, with the variables that these read', () => {
    expectPrograms(text)
    const job = environmentOf('modules/jobs.bicep', 'job')
    expect([...job.keys()]).toEqual(['WAYBILL_STORE', 'AZURE_CLIENT_ID'])
    const drain = environmentOf('modules/jobs.bicep', 'drain')
    expect([...drain.keys()]).toEqual(['WAYBILL_STORE', 'WAYBILL_QUEUE', 'AZURE_CLIENT_ID'])
    expect(read('src/cli/queue.ts')).toContain('process.env.WAYBILL_QUEUE')
    // The handler's own settings are read in the drain too.
    expect(text).toMatch(/'work', '--until-idle', '--run', 'inline'/)
    // A command would replace the image's init.
    for (const name of ['modules/jobs.bicep', 'modules/worker.bicep']) expect(file(name)).not.toMatch(/\bcommand:/)
  })

  it('may run longer than an attempt', () => {
    expect(read('examples/orders/orders.ts')).toContain("timeout: '15m'")
    const limits = [...text.matchAll(/replicaTimeout: (\d+)/g)].map(([, seconds]) => Number(seconds))
    expect(Math.min(...limits)).toBeGreaterThan(15 * 60 + 60)
  })
})

test('alerts search the log for messages that the code writes', () => {
  const queries = [...file('modules/alerts.bicep').matchAll(/query: '(.*)'$/gm)].map(([, query = '']) => query)
  expect(queries).toHaveLength(2)
  expect(queries.join()).toContain('Executions cannot be started')
  expect(read('src/launchers/start-refusals.ts')).toContain('`Executions cannot be started: ')
})

test('each identity has only the roles that it needs, each on one resource', () => {
  const roles: Record<string, string[]> = {
    // AcrPull
    'modules/registry.bicep': ['7f951dda-4ed3-4680-a7ca-43fe172d538d'],
    // Container Apps Jobs Operator
    'modules/jobs.bicep': ['b9a307c4-5aa3-4b52-ba60-2b17c136cd7b'],
    // Cosmos DB Built-in Data Contributor
    'modules/cosmos.bicep': ['00000000-0000-0000-0000-000000000002'],
    // Storage Queue Data Message Sender, Reader, Contributor
    'modules/queue.bicep': [
      'c6a89b2d-59bc-44d0-9896-0f6e12d7b80a',
      '19e7f393-937e-4f77-808e-94535e297925',
      '974c5e8b-45b9-4653-ba55-5f855dd0fb88',
    ],
  }
  const named = [...files].flatMap(([name, text]) => {
    const ids = [...text.matchAll(/'(\w{8}-\w{4}-\w{4}-\w{4}-\w{12})'/g)].map(([, id = '']) => id)
    return ids.length === 0 ? [] : [[name, ids] as const]
  })
  expect(Object.fromEntries(named)).toEqual(roles)
  const scopes = [...files.values()].flatMap(text =>
    [...text.matchAll(/roleAssignments@[^\n]*\n[^\n]*\n\s+scope: (\w+)/g)].map(([, scope]) => scope),
  )
  expect(scopes.sort()).toEqual(['manual', 'queue', 'registry'])
  expect(file('modules/cosmos.bicep')).toMatch(/scope: '\$\{account\.id\}\/dbs\/\$\{database\.name\}'/)
})

/** What a resource of a file waits for, by its symbol. */
function waitsFor(name: string, symbol: string): string | undefined {
  const [body = ''] = new RegExp(`^resource ${symbol} [\\s\\S]*?^}`, 'm').exec(file(name)) ?? []
  return /dependsOn: \[(\w+)\]/.exec(body)?.[1]
}

describe('PostgreSQL', () => {
  it('creates its administrators one after the other, and then the database for their schema', () => {
    const name = 'modules/postgres.bicep'
    expect(['azure', 'api', 'job', 'database'].map(symbol => waitsFor(name, symbol))).toEqual([
      undefined,
      'azure',
      'api',
      'job',
    ])
    expect(file(name)).toMatch(/^output server string = .*\$\{database\.name\}/m)
  })

  it('grants the tables from the identity that creates them to the other one', () => {
    const main = file('main.bicep')
    expect(main).toMatch(/@\$\{postgresServer\}&grantTo=\$\{identities\.outputs\.jobName\}/)
    expect(main).toMatch(/var apiStore = store == 'cosmos' \? cosmosUrl : apiPostgresUrl/)
    // The URL already has a query to add to.
    expect(file('modules/postgres.bicep')).toMatch(/^output server string = '[^']*\?sslmode=verify-full'/m)
  })
})

test('the roles of Cosmos DB are assigned one at a time, after the container', () => {
  expect(file('modules/cosmos.bicep')).toMatch(/^@batchSize\(1\)\nresource roles /m)
  expect(waitsFor('modules/cosmos.bicep', 'roles')).toBe('container')
})

test('the container has the properties that the store needs', () => {
  const text = file('modules/cosmos.bicep')
  expect(text).toContain("partitionKey: { paths: ['/id']")
  expect(text).toContain('defaultTtl: -1')
  expect(text).toContain("name: 'EnableServerless'")
  expect(text).toContain('disableLocalAuth: true')
  const [, policy = ''] = /```json\n([\s\S]*?)```/.exec(read('docs/deploy/cosmos.md')) ?? []
  const { includedPaths } = JSON.parse(policy) as { includedPaths: { path: string }[] }
  expect(text).toContain(`includedPaths: [{ path: '${includedPaths[0]?.path}' }]`)
})
