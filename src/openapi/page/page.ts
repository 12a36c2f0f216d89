/**
 * The description of an API as one page of HTML for people: what to send, how an operation goes,
 * commands to try it, every answer, and what cures each problem. It needs no script and loads nothing.
 */
import { createHash } from 'node:crypto'
import type { Example, OpenApiDocument } from '../model.ts'
import { TAGS } from '../service-paths.ts'
import { type Command, commandsFor, whereCommand } from './commands.ts'
import { anchor, type Fragment, type Html, html, raw } from './html.ts'
import { type Located, operationDetails, type PageContext } from './operation.ts'
import { schemaTable } from './schema.ts'
import { STYLE } from './style.ts'

/** The headers of the page: it may load nothing but its own style, and be shown in no other page. */
export const PAGE_HEADERS: Readonly<Record<string, string>> = {
  'Content-Type': 'text/html; charset=utf-8',
  'Content-Security-Policy':
    `default-src 'none'; style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'; ` +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
}

/** Schemas that more than one operation type uses are shown once. */
const SHARED = [
  'StatusDocument',
  'Problem',
  'Failure',
  'Cancellation',
  'Monitor',
  'WebhookEvent',
  'Attempt',
  'Delivery',
] as const

/** The names of schemas that a link to another one serves for. */
const SAME: Readonly<Record<string, string>> = { UnfinishedStatus: 'StatusDocument', FinalStatus: 'StatusDocument' }

/** Makes the page. */
export function openApiPage(document: OpenApiDocument): string {
  const { schemas } = document.components
  const shared = new Set(
    [...SHARED, ...Object.keys(SAME), 'Links', 'Progress', 'InputError'].filter(name => schemas[name]),
  )
  const types = document.tags.filter(({ name }) => !(name in TAGS)).map(({ name }) => name)
  const results = types.flatMap(name => resultName(document, name) ?? [])
  const context: PageContext = { document, schemas, shared, linked: new Set([...shared, ...results]) }
  const { title, version, description } = document.info
  const page = html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title} ${version}</title><style>${raw(STYLE)}</style></head>
<body><a class="skip" href="#main">Skip to the content</a>
<div class="layout">${navigation(document, types)}
<main id="main"><header class="top"><h1>${title} <span class="version">${version}</span></h1><p class="lead">${description}</p></header>
${commandBlock(whereCommand(document))}
${types.map(name => typeSection(name, context))}
${Object.entries(TAGS).map(([name, about]) => tagSection(name, about, context))}
${problemSection(document)}
${sharedSchemas(context)}
${headerSection(document)}
<footer>Made from the operation types by Waybill. For programs: <a href="openapi.json">openapi.json</a></footer>
</main></div></body></html>
`
  return page.text
}

function navigation(document: OpenApiDocument, types: readonly string[]): Html {
  const around = [...Object.keys(TAGS), 'Problems', 'Schemas', 'Headers']
  const link = (name: string) => html`<li><a href="#${anchor('section', name)}">${name}</a></li>`
  return html`<nav aria-label="Contents"><strong>${document.info.title}</strong><ul>${types.map(link)}</ul><ul>${around.map(link)}</ul>
<ul><li><a href="openapi.json">openapi.json</a></li></ul></nav>`
}

function section(name: string, ...content: readonly Fragment[]): Html {
  return html`<section id="${anchor('section', name)}"><h2>${name}</h2>${content}</section>`
}

function typeSection(name: string, context: PageContext): Html {
  const { document } = context
  const submit = document.paths[`/${name}`]?.post
  const media = submit?.requestBody?.content['application/json']
  const result = submit?.responses[200]?.content?.['application/json']
  return section(
    name,
    flow(name, document),
    html`<h3>What to send</h3><p>As <code>application/json</code>:</p>`,
    schemaTable(media?.schema, context),
    media?.example !== undefined && html`<h4>Such as</h4>${jsonBlock(media.example)}`,
    html`<h3>Try it</h3><ol class="steps">${commandsFor(name, document).map(command => html`<li>${commandBlock(command)}</li>`)}</ol>`,
    html`<h3 id="${anchor('schema', resultName(document, name) ?? name)}">What comes out</h3>`,
    schemaTable(result?.schema, context),
    result?.example !== undefined && html`<h4>Such as</h4>${jsonBlock(result.example)}`,
    html`<h3>Every answer</h3>`,
    operationsOf(document, name).map(located => operationDetails(located, context)),
  )
}

/** The name of the schema of what comes out. */
function resultName(document: OpenApiDocument, name: string): string | undefined {
  const schema = document.paths[`/${name}`]?.post?.responses[200]?.content?.['application/json']?.schema
  return typeof schema?.$ref === 'string' ? schema.$ref.slice(schema.$ref.lastIndexOf('/') + 1) : undefined
}

/** The way of one operation, from its request to its result. */
function flow(name: string, document: OpenApiDocument): Html {
  const redirects = document.paths[`/${name}/status/{id}`]?.get?.responses[303] !== undefined
  const step = (request: string, answer: string, note: string) =>
    html`<li><code class="request">${request}</code><span class="answer">${answer}</span><span class="note">${note}</span></li>`
  const status = `GET /${name}/status/{id}`
  const waiting = redirects ? '200 OK' : '202 Accepted'
  return html`<ol class="flow" aria-label="How an operation goes">
${step(`POST /${name}`, '202 Accepted', 'It is kept. Location is its status.')}
${step(status, waiting, 'Not ended: ask again after Retry-After.')}
${redirects ? step(status, '303 See Other', 'It has ended. Location is its result.') : step(status, '200 OK', 'It has ended: this is the result.')}
${redirects && step(`GET /${name}/{id}`, '200 OK', 'The result; or the problem, if it failed.')}
</ol>`
}

function tagSection(name: string, about: string, context: PageContext): Html {
  const details = operationsOf(context.document, name).map(located => operationDetails(located, context))
  return section(name, html`<p>${about}</p>`, details)
}

function operationsOf(document: OpenApiDocument, tag: string): readonly Located[] {
  return Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item)
      .filter(([, { tags }]) => tags.includes(tag))
      .map(([method, operation]) => ({ method, path, operation })),
  )
}

function commandBlock({ title, text }: Command): Html {
  return html`<figure><figcaption>${title}</figcaption><pre class="command"><code>${text}</code></pre></figure>`
}

function jsonBlock(value: unknown): Html {
  return html`<pre><code>${JSON.stringify(value, null, 2)}</code></pre>`
}

function problemSection({ components }: OpenApiDocument): Html {
  const byCode = new Map(
    Object.entries(components.examples).map(([name, example]) => [name.replace(/^result\./, ''), example] as const),
  )
  const rows = [...byCode].map(
    ([code, { summary, description, value }]) => html`<tr id="${anchor('problem', code)}"><td><code>${code}</code></td>
<td><span class="status s${String(statusOf(value)).slice(0, 1)}">${statusOf(value)}</span></td><td>${summary}.</td><td>${description}</td></tr>`,
  )
  return section(
    'Problems',
    html`<p>Every refusal is a problem detail (RFC 9457). Switch on its <code>code</code>.</p>
<div class="wide" role="group" aria-label="Table" tabindex="0"><table><thead><tr><th scope="col">Code</th><th scope="col">Status</th><th scope="col">What it means</th><th scope="col">What cures it</th></tr></thead>
<tbody>${rows}</tbody></table></div>`,
  )
}

function statusOf(value: Example['value']): number | undefined {
  const { status, error } = value as { status?: unknown; error?: { status?: number } }
  return typeof status === 'number' ? status : error?.status
}

function sharedSchemas(context: PageContext): Html {
  const shown = [...SHARED, 'Links', 'Progress', 'InputError'].filter(name => context.schemas[name])
  const same = (name: string) =>
    Object.keys(SAME)
      .filter(other => SAME[other] === name && context.schemas[other])
      .map(other => html`<span id="${anchor('schema', other)}"></span>`)
  const tables = shown.map(
    name =>
      html`<h3 id="${anchor('schema', name)}">${same(name)}${name}</h3>${about(context, name)}${schemaTable(context.schemas[name], context)}`,
  )
  return section('Schemas', tables)
}

function about({ schemas }: PageContext, name: string): Html {
  return html`<p>${String(schemas[name]?.description ?? '')}</p>`
}

function headerSection({ paths, components }: OpenApiDocument): Html {
  const uses = Object.values(paths).flatMap(item =>
    Object.values(item).flatMap(({ responses }) =>
      Object.values(responses).flatMap(({ headers = {} }) => Object.entries(headers)),
    ),
  )
  const byName = new Map(uses.map(([name, { $ref }]) => [name, $ref.slice($ref.lastIndexOf('/') + 1)]))
  const rows = [...byName].map(
    ([name, component]) =>
      html`<tr id="${anchor('header', name)}"><td><code>${name}</code></td><td>${components.headers[component]?.description}</td></tr>`,
  )
  return section(
    'Headers',
    html`<p>Of answers; a ? behind a name means: not always.</p>
<div class="wide" role="group" aria-label="Table" tabindex="0"><table><thead><tr><th scope="col">Header</th><th scope="col">Meaning</th></tr></thead><tbody>${rows}</tbody></table></div>`,
  )
}
