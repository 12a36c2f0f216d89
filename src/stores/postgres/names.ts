/** Names in PostgreSQL: of schemas, tables and channels. */

/** Quotes a name. */
export function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

/** The name that {@link quoteName} has quoted. */
export function unquoted(name: string): string {
  return name.slice(1, -1).replaceAll('""', '"')
}

/** Writes a string as a literal. */
export function quoteText(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}

/** The channel of a schema: channels belong to a whole database. */
export function channelOf(schema: string): string {
  return `waybill/${schema}`
}
