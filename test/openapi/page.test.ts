/** The page at /docs: it is safe, it is whole, and the commands on it do what it says. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import Fastify from 'fastify'
import { describe, expect } from 'vitest'
import { defineOperation, handler } from 'waybill'
import type { ApiOptions } from 'waybill/adapters'
import { waybill } from 'waybill/fastify'
import { openApiDocument } from 'waybill/openapi'
import { sqliteStore } from 'waybill/stores/sqlite'
import { z } from 'zod'
import { openApiPage } from '../../src/openapi/page/page.ts'
import { launchChromium } from '../support/chromium.ts'
import { type TestContext, test } from '../support/waybill.ts'

const NASTY = `</style><script>alert("1")</script>'&`
const things = defineOperation({
  name: 'things',
  input: z
    .object({ name: z.string().max(20), note: z.string().optional() })
    .meta({ examples: [{ name: "it's $HOME `x`" }] }),
  output: z.object({ text: z.string() }),
  requireIdempotencyKey: true,
})

/** A listening API with one type, whose handler gives back the name. */
async function serve(lab: TestContext, options: Omit<ApiOptions, 'base'> & { prefix?: string } = {}): Promise<string> {
  const app = Fastify({ forceCloseConnections: true })
  const work = handler(things, async ({ name }) => ({ text: name }))
  const store = sqliteStore({ path: ':memory:' })
  await app.register(waybill, { operations: [things], store, worker: { handlers: work }, ...options })
  lab.onEnd(() => app.close())
  return (await app.listen({ port: 0, host: '127.0.0.1' })) + (options.prefix ?? '')
}

/** The commands on a page, in their order. */
function commandsOn(page: string): string[] {
  const entities: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', '#39': "'" }
  return [...page.matchAll(/<pre class="command"><code>([\s\S]*?)<\/code>/g)].map(([, escaped = '']) =>
    escaped.replaceAll(/&(\w+|#39);/g, (_, name: string) => entities[name] ?? ''),
  )
}

async function bash(script: string): Promise<string> {
  const child = spawn('bash', ['-c', `set -e\n${script}`], { stdio: ['ignore', 'pipe', 'pipe'] })
  const output = Promise.all([text(child.stdout), text(child.stderr)])
  const [code] = await once(child, 'close')
  const [stdout, stderr] = await output
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  return stdout
}

describe('the commands of the page work one after the other', () => {
  test.for<[string, Omit<ApiOptions, 'base'> & { prefix?: string }]>([
    ['by default', {}],
    ['under a prefix, with a list', { prefix: '/api/v1', listing: true }],
    ['in the dialect "accepted"', { dialect: 'accepted' }],
  ])('%s', async ([, options], { lab }) => {
    const url = await serve(lab, options)
    const [where = '', send = '', ...rest] = commandsOn(await (await fetch(`${url}/docs`)).text())
    expect(where).toBe(`API='http://localhost:3000${options.prefix ?? ''}'`)
    const answers = (await bash([`API=${url}`, send, ...rest].join('\necho; echo ---\n'))).split('---')
    const statuses = answers.map(answer => Number(/^HTTP\/1.1 (\d+)/.exec(answer.trim())?.[1]))
    expect(answers[1]).toContain('HTTP/1.1 202 Accepted')
    expect(answers[2]).toMatch(options.dialect === 'accepted' ? / 200 OK/ : / 303 See Other/)
    for (const answer of [answers[3], answers[4], answers[6]]) expect(answer).toContain(`"text":"it's $HOME \`x\`"`)
    expect(answers[5]).toContain('event: status')
    expect(statuses[7]).toBe(409)
    if (options.listing) expect(answers[8]).toContain('"items":[{')
    expect(answers).toHaveLength(options.listing ? 9 : 8)
  })
})

test('the commands have the public URL, and a placeholder for a body that cannot be guessed', () => {
  const codes = defineOperation({ name: 'codes', input: z.object({ code: z.string().regex(/^[A-Z]{3}$/) }) })
  const [where, send] = commandsOn(openApiPage(openApiDocument([codes], { base: 'https://api.example.org/v1' })))
  expect(where).toBe(`API='https://api.example.org/v1'`)
  expect(send).toContain('-d @input.json')
})

test('schemas and titles are shown as text', () => {
  const schema = { type: 'object', description: NASTY, properties: { [NASTY]: { enum: [NASTY], description: NASTY } } }
  const type = defineOperation({ name: 'nasty', input: schema, output: schema, resultKey: NASTY })
  const info = { title: NASTY, version: NASTY, description: NASTY, base: `/${NASTY}` }
  const page = openApiPage(openApiDocument([type], { ...info, security: { [NASTY]: { type: 'http', scheme: NASTY } } }))
  expect(page).not.toContain('<script')
  expect(page.match(/<\/style>/g)).toHaveLength(1)
  expect(page).toContain('&lt;/style&gt;&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&#39;&amp;')
})

test('a recursive schema ends', () => {
  const Tree = z.object({
    name: z.string(),
    get children() {
      return z.array(Tree)
    },
  })
  const page = openApiPage(openApiDocument([defineOperation({ name: 'trees', input: Tree })]))
  expect(page).toContain('object[]')
})

test('every link leads to an anchor of the page', () => {
  const hooked = defineOperation({ name: 'hooked', allowWebhooks: true, rateLimit: { requests: 1, per: '1s' } })
  const page = openApiPage(openApiDocument([things, hooked], { listing: true }))
  const places = [...page.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id)
  const links = [...page.matchAll(/href="#([^"]+)"/g)].map(([, id]) => id)
  expect(new Set(places).size).toBe(places.length)
  expect(links.filter(link => !places.includes(link))).toEqual([])
  expect(links.length).toBeGreaterThan(100)
})

test('a browser shows the page without an error, narrow and wide, and loads nothing else', async ({ lab }) => {
  const url = await serve(lab, { openapi: { title: 'Things' } })
  const browser = await launchChromium()
  lab.onEnd(() => browser.close())
  const page = await browser.newPage({ viewport: { width: 360, height: 800 } })
  const said: string[] = []
  const asked: string[] = []
  page.on('console', message => said.push(message.text()))
  page.on('pageerror', error => said.push(error.message))
  page.on('request', request => asked.push(new URL(request.url()).pathname))
  const response = await page.goto(`${url}/docs`)
  expect(response?.headers()['content-security-policy']).toMatch(/^default-src 'none'; style-src 'sha256-[^']+';/)
  for (const width of [360, 1280]) {
    await page.setViewportSize({ width, height: 800 })
    for (const details of await page.locator('details').all()) await details.evaluate(it => it.setAttribute('open', ''))
    // The style has been taken, and nothing stands out of the screen.
    expect(await page.evaluate(() => getComputedStyle(document.body).margin)).toBe('0px')
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width)
  }
  expect(await page.title()).toBe('Things 1.0.0')
  expect(said).toEqual([])
  expect(asked).toEqual(['/docs'])
})
