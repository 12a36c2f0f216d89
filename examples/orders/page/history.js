// Whatever comes from people or from the server is written as text, never as HTML.
const SHOWN = 20
const EVERY_MS = 2000

const $ = id => document.getElementById(id)
/** The card of each order and its version, by id. */
const shown = new Map()

void turn()

/** Refreshes at intervals, but only while the page is visible. */
async function turn() {
  if (!document.hidden) await refresh()
  setTimeout(turn, EVERY_MS)
}

async function refresh() {
  try {
    const { items } = await getJson(`/orders?limit=${SHOWN}`)
    const cards = await Promise.all(items.map(cardOf))
    keepOnly(items)
    $('none').hidden = items.length > 0
    $('trouble').hidden = true
    // Only new cards are moved, so that the reading position is kept.
    cards.forEach((card, index) => {
      if ($('orders').children[index] !== card) $('orders').insertBefore(card, $('orders').children[index] ?? null)
    })
  } catch (error) {
    $('trouble').textContent = `The history cannot be read: ${error.message}`
    $('trouble').hidden = false
  }
}

function keepOnly(items) {
  const ids = new Set(items.map(({ id }) => id))
  for (const [id, { card }] of shown) {
    if (ids.has(id)) continue
    card.remove()
    shown.delete(id)
  }
}

/** The card of an order. Its attempts are asked for when it has changed; its place in the queue changes without that. */
async function cardOf(order) {
  const known = shown.get(order.id)
  const card = known?.card ?? $('order').content.cloneNode(true).firstElementChild
  tell(card, order)
  if (known?.updatedAt === order.updatedAt) return card
  const { items } = await getJson(`${order.links.operation}/attempts`)
  const errors = items.some(({ error }) => error) ? await errorsOf(order) : new Map()
  card.querySelector('.scroll').hidden = items.length === 0
  card.querySelector('tbody').replaceChildren(...items.map(item => row(item, errors.get(item.number))))
  shown.set(order.id, { card, updatedAt: order.updatedAt })
  return card
}

function tell(card, { id, status, createdAt, startedAt, finishedAt, waitingFor }) {
  card.dataset.status = status
  card.querySelector('h2').textContent = id
  // It scrolls where the page is narrow, so the keyboard must reach it.
  Object.assign(card.querySelector('.scroll'), { role: 'group', ariaLabel: `Attempts at ${id}`, tabIndex: 0 })
  card.querySelector('.badge').textContent = status
  const parts = [
    `Ordered ${time(createdAt)}`,
    startedAt ? `waited ${span(createdAt, startedAt)}` : (waitingFor ?? ''),
    finishedAt ? `ended after ${span(createdAt, finishedAt)}` : '',
  ]
  card.querySelector('.when').textContent = parts.filter(Boolean).join(' · ')
}

/** What the handler threw in each attempt: only the operator's own machine is shown it. */
async function errorsOf({ id }) {
  const response = await fetch(`/history/${id}/errors`)
  if (response.status === 404) return new Map()
  const { items } = await jsonOf(response)
  return new Map(items.map(({ attempt, error }) => [attempt, error]))
}

function row({ number, execution, engine, startedAt, finishedAt, outcome, error }, thrown) {
  const made = document.createElement('tr')
  const ran = [engine, execution].filter(Boolean).join(' · ') || 'a worker'
  const took = finishedAt ? span(startedAt, finishedAt) : ''
  made.append(...[`#${number}`, ran, time(startedAt), took, outcome, why(error)].map(cell))
  if (thrown) made.lastElementChild.append(thrownError(thrown))
  return made
}

function thrownError(error) {
  const made = $('thrown').content.cloneNode(true)
  made.querySelector('summary').textContent = `${error.name}: ${error.message}`
  made.querySelector('pre').textContent = stackOf(error)
  return made
}

function stackOf({ name, message, code, stack, cause }) {
  const parts = [
    stack ?? `${name}: ${message}`,
    code ? `code: ${code}` : '',
    cause ? `caused by ${stackOf(cause)}` : '',
  ]
  return parts.filter(Boolean).join('\n')
}

function why(error) {
  return error ? [error.title.replace(/\.$/, ''), error.detail].filter(Boolean).join('. ') : ''
}

function cell(text) {
  const made = document.createElement('td')
  made.textContent = text
  return made
}

async function getJson(url) {
  return await jsonOf(await fetch(url, { headers: { Accept: 'application/json' } }))
}

async function jsonOf(response) {
  const body = await response.json()
  if (!response.ok) throw new Error(body.title ?? `it was answered ${response.status}`)
  return body
}

function time(text) {
  return new Date(text).toLocaleTimeString([], { hour12: false })
}

function span(from, to) {
  const seconds = (Date.parse(to) - Date.parse(from)) / 1000
  return seconds < 10 ? `${seconds.toFixed(1)} s` : `${Math.round(seconds)} s`
}
