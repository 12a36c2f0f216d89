/** The OpenAPI document of operation types, for programs that write it to a file. */
export type { Contact, OpenApiDocument, SecurityScheme } from './model.ts'
export { type OpenApiInfo, type OpenApiOptions, openApiDocument } from './openapi.ts'
