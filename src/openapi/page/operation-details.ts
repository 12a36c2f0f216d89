/** One operation on the page: its request, and every response with its headers and problems. */
import { isRequired } from '../merge-responses.ts'
import type { MediaType, OpenApiDocument, OperationObject, Parameter, Reference, ResponseObject } from '../model.ts'
import { anchor, type Fragment, type Html, html } from './html.ts'
import { type SchemaContext, schemaName } from './schema-table.ts'

/** An operation with its method and path. */
export interface Located {
  readonly method: string
  readonly path: string
  readonly operation: OperationObject
}

/** What the parts of the page need. */
export interface PageContext extends SchemaContext {
  readonly document: OpenApiDocument
}

/** The operation as a collapsed section. */
export function operationDetails({ method, path, operation }: Located, context: PageContext): Html {
  const callbacks = Object.values(operation.callbacks ?? {}).flatMap(callback =>
    Object.entries(callback).flatMap(([where, item]) =>
      Object.entries(item).map(([verb, one]) => ({ verb, where, one })),
    ),
  )
  return html`<details class="operation" id="${anchor('operation', operation.operationId)}">
<summary><span class="method ${method}">${method.toUpperCase()}</span> <code class="path">${path}</code>
<span class="what">${operation.summary}</span></summary>
<div class="inside"><p>${operation.description}</p>
${parameterTable(operation.parameters ?? [], context)}
${responseTable(operation, context)}
${callbacks.map(({ verb, where, one }) => html`<h4>What the API sends to you</h4>${operationDetails({ method: verb, path: where, operation: one }, context)}`)}
</div></details>`
}

function parameterTable(parameters: readonly (Parameter | Reference)[], context: PageContext): Fragment {
  const known = parameters.flatMap(parameter => parameterOf(parameter, context) ?? [])
  if (known.length === 0) return ''
  const rows = known.map(
    ({
      name,
      in: place,
      required,
      description,
    }) => html`<tr><td><code>${name}</code>${required !== true && html` <span class="optional">optional</span>`}</td>
<td>${place}</td><td>${description}</td></tr>`,
  )
  return html`<div class="wide" role="group" aria-label="Table" tabindex="0"><table><thead><tr><th scope="col">Parameter</th><th scope="col">In</th><th scope="col">Description</th></tr></thead>
<tbody>${rows}</tbody></table></div>`
}

function parameterOf(parameter: Parameter | Reference, { document }: PageContext): Parameter | undefined {
  return '$ref' in parameter ? document.components.parameters[nameIn(parameter)] : parameter
}

function nameIn({ $ref }: Reference): string {
  return $ref.slice($ref.lastIndexOf('/') + 1)
}

function responseTable({ responses }: OperationObject, context: PageContext): Html {
  const rows = Object.entries(responses).map(
    ([status, response]) => html`<tr><td><span class="status s${status.slice(0, 1)}">${status}</span></td>
<td>${response.description}${bodies(response, context)}</td><td>${headerList(response)}</td></tr>`,
  )
  return html`<div class="wide" role="group" aria-label="Table" tabindex="0"><table class="answers"><thead><tr><th scope="col">Response</th><th scope="col">Description and body</th><th scope="col">Headers</th></tr></thead>
<tbody>${rows}</tbody></table></div>`
}

function bodies({ content = {} }: ResponseObject, context: PageContext): Fragment {
  return Object.entries(content).map(
    ([media, body]) =>
      html`<div class="body"><span class="media">${media}</span> ${schemaName(body.schema, context)}${problemsOf(body)}</div>`,
  )
}

/** The problems among the examples of a body, as links to the table of problems. */
function problemsOf({ examples = {} }: MediaType): Fragment {
  const codes = Object.keys(examples).map(name => name.replace(/^result\./, ''))
  return codes.map(code => html` <a class="code" href="#${anchor('problem', code)}">${code}</a>`)
}

function headerList({ headers = {} }: ResponseObject): Fragment {
  const links = Object.entries(headers).map(([name, header]) => {
    const optional = !isRequired(header)
    return html`<a class="header" href="#${anchor('header', name)}">${name}</a>${optional && html`<span class="optional" title="optional">?</span>`}`
  })
  return links.map((link, index) => html`${index > 0 && ', '}${link}`)
}
