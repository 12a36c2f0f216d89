/** Azure Database for PostgreSQL, entered by an identity: the password is a token, which is asked for at each connection. */

const HOST = /\.postgres\.database\.azure\.com$/
const SCOPE = 'https://ossrdbms-aad.database.windows.net/.default'

/** What of a credential of `@azure/identity` is needed. */
export interface TokenSource {
  getToken(scope: string): Promise<{ readonly token: string }>
}

/** Whether a URL is of such a server and brings no password of its own. */
export function entersByIdentity({ hostname, password, searchParams }: URL): boolean {
  return HOST.test(hostname) && password === '' && !searchParams.has('password') && !process.env.PGPASSWORD
}

/** What a `Pool` of `pg` is made with. The server's certificate is always checked. */
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
