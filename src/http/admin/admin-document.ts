/** The OpenAPI description of the admin API: a document of its own, for those who may use it. */
import type { OpenApiDocument } from '../../openapi/model.ts'
import { assembleDocument } from '../../openapi/openapi.ts'
import { packageVersion } from '../../util/version.ts'
import { ADMIN_PATHS } from './admin-paths.ts'
import { ADMIN_SCHEMAS } from './admin-schemas.ts'

const TITLE = 'Waybill admin API'
const DESCRIPTION =
  'What operators see and do, over the operations of all callers. A viewer looks; an operator also changes. Every change ' +
  'carries the token of its session, and comes from the same origin. Times are milliseconds since the epoch.'

const TAGS = {
  Operations: 'Operations of any type and owner.',
  Types: 'Operation types.',
  'Bulk runs': 'Actions on many operations.',
  Console: 'What the console needs beside.',
} as const

/** @param base what comes before every URL that is sent to a client */
export function adminDocument(base: string): OpenApiDocument {
  return assembleDocument({
    info: { title: TITLE, version: packageVersion(), description: DESCRIPTION, contact: { name: TITLE } },
    base,
    tags: Object.entries(TAGS).map(([name, description]) => ({ name, description })),
    paths: ADMIN_PATHS,
    schemas: ADMIN_SCHEMAS,
  })
}
