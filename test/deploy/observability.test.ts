/** The dashboard and the alert rules: each query is PromQL, and names metrics and labels that `/metrics` has. */
import { readFileSync } from 'node:fs'
import { loadYaml } from '@kubernetes/client-node'
import { parser } from '@prometheus-io/lezer-promql'
import { describe, expect } from 'vitest'
import { defineOperation, handler } from 'waybill'
import { LaunchRefused } from '../../src/launchers/launcher.ts'
import { fetchHandler } from '../../src/servers/web.ts'
import type { Waybill } from '../../src/waybill.ts'
import { hasFinished, submit, type TestContext, test } from '../support/waybill.ts'

const read = (file: string) => readFileSync(new URL(`../../deploy/observability/${file}`, import.meta.url), 'utf8')

interface Panel {
  readonly id: number
  readonly type: string
  readonly title: string
  readonly description?: string
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number }
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[]
}

const dashboard = JSON.parse(read('grafana-dashboard.json')) as { readonly panels: readonly Panel[] }
const { groups } = loadYaml<{
  groups: { rules: { alert: string; expr: string; annotations: { summary: string; description: string } }[] }[]
}>(read('alerts.yaml'))

const panels = dashboard.panels.filter(({ type }) => type !== 'row')
const rules = groups.flatMap(group => group.rules)
const queries = [
  ...panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => ({ name: title, expr }))),
  ...rules.map(({ alert, expr }) => ({ name: alert, expr })),
]

/** The metrics of a query, each with the labels that the query names of it; and what is not PromQL. */
function parse(expr: string) {
  const text = expr.replaceAll('$__rate_interval', '5m')
  const errors: string[] = []
  const metrics: { metric: string; labels: string[] }[] = []
  const grouped: string[] = []
  parser.parse(text).iterate({
    enter: ({ name, from, to, node, type }) => {
      const part = text.slice(from, to)
      if (type.isError) errors.push(`${from}: ${text.slice(from - 10, from + 10)}`)
      if (name === 'Identifier') metrics.push({ metric: part, labels: [] })
      if (name !== 'LabelName') return
      if (node.parent?.name === 'GroupingLabels') grouped.push(part)
      else metrics.at(-1)?.labels.push(part)
    },
  })
  return { errors, metrics: metrics.map(({ metric, labels }) => ({ metric, labels: [...labels, ...grouped] })) }
}

/** The series of `/metrics`: the labels of each metric. */
async function scrape(waybill: Waybill): Promise<Map<string, Set<string>>> {
  const answer = await fetchHandler(waybill)(new Request('http://test/metrics'))
  const series = new Map<string, Set<string>>()
  for (const [, metric = '', labels = ''] of (await answer.text()).matchAll(/^(\w+)(?:\{(.*)\})? \S+$/gm)) {
    const names = [...labels.matchAll(/(\w+)="/g)].map(([, label = '']) => label)
    series.set(metric, new Set([...(series.get(metric) ?? []), ...names]))
  }
  return series
}

/** Everything that processes of each kind show. */
async function scrapeAll(lab: TestContext): Promise<Map<string, Set<string>>> {
  const orders = defineOperation({ name: 'orders', attempts: 1 })
  const working = await lab.waybill([orders], { worker: { handlers: [handler(orders, () => null)] } })
  await hasFinished(working.store, await submit(working, orders))
  const launcher = {
    engine: 'test',
    start: () => Promise.reject(new LaunchRefused('No room.', 1000, { reason: 'quota' })),
    stop: async () => {},
    inspect: async () => ({ kind: 'gone', reason: '' }) as const,
  }
  const launching = await lab.waybill([orders], { dispatcher: { launcher } })
  return new Map([...(await scrape(launching)), ...(await scrape(working))])
}

describe('queries', () => {
  test.for(queries)('$name', ({ expr }) => {
    const { errors, metrics } = parse(expr)
    expect(errors).toEqual([])
    expect(metrics.length).toBeGreaterThan(0)
  })

  test('name metrics and labels that are there, and together all metrics', async ({ lab }) => {
    const series = await scrapeAll(lab)
    const used = new Set<string>()
    for (const { name, expr } of queries) {
      for (const { metric, labels } of parse(expr).metrics) {
        expect([name, metric, series.has(metric)]).toEqual([name, metric, true])
        for (const label of labels) {
          expect([name, metric, label, series.get(metric)?.has(label)]).toEqual([name, metric, label, true])
        }
        used.add(metric.replace(/_(bucket|count|sum)$/, ''))
      }
    }
    const own = [...series.keys()]
      .filter(name => name.startsWith('waybill_'))
      .map(name => name.replace(/_(bucket|count|sum)$/, ''))
    expect([...new Set(own)].filter(name => !used.has(name))).toEqual([])
  })
})

test('the panels lie beside each other, and say what they show', () => {
  expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length)
  const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) => {
    expect(x + w).toBeLessThanOrEqual(24)
    return Array.from({ length: w * h }, (_, at) => `${x + (at % w)}:${y + Math.floor(at / w)}`)
  })
  expect(new Set(cells).size).toBe(cells.length)
  for (const { title, description } of panels)
    expect([title, description]).toEqual([title, expect.stringMatching(/\.$/)])
})

test('each alert says what is wrong and what to do', () => {
  for (const { alert, annotations } of rules) {
    expect(alert).toMatch(/^Waybill/)
    expect(annotations.summary).not.toBe('')
    expect(annotations.description).toMatch(/\.$/)
  }
  const page = readFileSync(new URL('../../docs/deploy/observability.md', import.meta.url), 'utf8')
  for (const { alert } of rules) expect(page).toContain(`| \`${alert}\` |`)
})
