/** Label and field selectors, read into predicates. */
import { ApiError, type Job } from './objects.ts'

type Labels = Readonly<Record<string, string>>

/** Reads a label selector: `a=b`, `a==b`, `a!=b`, `a in (b,c)`, `a notin (b,c)`, `a` and `!a`, joined by commas. */
export function labelSelector(text: string): (labels: Labels) => boolean {
  // Commas within parentheses join values.
  const parts = text === '' ? [] : text.split(/,(?![^(]*\))/).map(part => requirement(part.trim()))
  return labels => parts.every(fits => fits(labels))
}

function requirement(text: string): (labels: Labels) => boolean {
  const [, setName = '', not, values = ''] = /^(\S+)\s+(not)?in\s*\(([^)]*)\)$/.exec(text) ?? []
  if (setName !== '') {
    const set = new Set(values.split(',').map(value => value.trim()))
    return labels => set.has(labels[setName] ?? '\0') === (not === undefined)
  }
  const [, name = '', operator, value] = /^([\w./-]+)\s*(==|=|!=)\s*([\w.-]*)$/.exec(text) ?? []
  if (name !== '') return labels => (labels[name] === value) === (operator !== '!=')
  const [, absent, key = ''] = /^(!?)([\w./-]+)$/.exec(text) ?? []
  if (key !== '') return labels => key in labels === (absent === '')
  throw new ApiError(400, 'BadRequest', `unable to parse requirement: ${text}`)
}

const FIELDS: Readonly<Record<string, (job: Job) => string>> = {
  'metadata.name': job => job.metadata.name,
  'metadata.namespace': job => job.metadata.namespace,
  'status.successful': job => String(job.status.succeeded ?? 0),
}

/** Reads a field selector: equality of the fields that Jobs can be selected by. */
export function fieldSelector(text: string): (job: Job) => boolean {
  const parts = text === '' ? [] : text.split(',').map(fieldRequirement)
  return job => parts.every(fits => fits(job))
}

function fieldRequirement(text: string): (job: Job) => boolean {
  const [, name = '', operator, value = ''] = /^([^=!]+)(==|=|!=)(.*)$/.exec(text) ?? []
  const field = FIELDS[name]
  if (field === undefined) {
    throw new ApiError(400, 'BadRequest', `field label ${JSON.stringify(name)} not supported for Job`)
  }
  return job => (field(job) === value) === (operator !== '!=')
}
