/** Azure Database for PostgreSQL with an identity: the password is a token, which is requested for each connection. */

const HOST = /\.postgres\.database\.azure\.com$/
const SCOPE = 'https://ossrdbms-aad.database.windows.net/.default'

/** The part of a credential of `@azure/identity` that is used. */
export interface TokenSource {
  getToken(scope: string): Promise<{ readonly token: string }>
}

/** Whether a URL names such a server and has no password. */
export function entersByIdentity({ hostname, password, searchParams }: URL): boolean {
  return HOST.test(hostname) && password === '' && !searchParams.has('password') && !process.env.PGPASSWORD
}

/** The options for a `Pool` of `pg`. The server's certificate is always checked. */
export function identityConfig(target: URL, credential: TokenSource) {
  return {
    host: target.hostname,
    port: Number(target.port || 5432),
    user: decodeURIComponent(target.username),
    database: decodeURIComponent(target.pathname.slice(1)),
    ssl: true,
    password: async () => (await credential.getToken(SCOPE)).token,
  }
}
