// Whatever comes from people or from the server is written as text, never as HTML.
import { attach, fetchAndWait } from '/waybill/client/client.js'

const $ = id => document.getElementById(id)
const KEPT = 'order'
const WORDS = {
  pending: 'Waiting for its turn',
  running: 'Being worked on',
  completed: 'Done',
  failed: 'It failed',
  canceled: 'Canceled',
}

/** Where the order's status is; kept, so that a reload picks it up. */
let statusUrl = sessionStorage.getItem(KEPT)

// It scrolls, so the keyboard must reach it.
$('timeline').tabIndex = 0
addItem('Apple', 5)
addItem('Banana', 3)
$('add').addEventListener('click', () => addItem('', 1).querySelector('input').focus())
$('cancel').addEventListener('click', cancel)
$('approve').addEventListener('click', () => answer(true))
$('refuse').addEventListener('click', () => answer(false))
$('form').addEventListener('submit', event => {
  event.preventDefault()
  void follow(placeOrder)
})
if (statusUrl) void follow(pickUp)

function placeOrder() {
  const headers = { 'Content-Type': 'application/json' }
  return fetchAndWait(
    '/orders',
    { method: 'POST', headers, body: JSON.stringify(readForm()), onAccepted, onTrouble },
    onStatusPoll,
  )
}

function pickUp() {
  begin(statusUrl)
  addLine('picked up', 'after the page was loaded again', statusUrl)
  return attach(statusUrl, { onTrouble }, onStatusPoll)
}

/** Waits for an order, however it began, and shows how it ended. */
async function follow(wait) {
  $('order').disabled = true
  showRefusal()
  try {
    showEnd('completed', await wait())
  } catch (error) {
    const isEnded = error.code === 'failed' || error.code === 'canceled'
    if (error.statusUrl) showEnd(isEnded ? error.code : 'lost', undefined, error)
    else showRefusal(error.problem ?? { title: 'The order could not be sent', detail: error.message })
  } finally {
    $('order').disabled = false
  }
}

function onAccepted(url) {
  statusUrl = url
  sessionStorage.setItem(KEPT, url)
  begin(url)
  addLine('accepted', 'answered 202', url)
}

/** Called for each poll, as in the article; what else the status document says is there as well. */
function onStatusPoll({ response, retryAfter, status, document: { progress, queuePosition, cancelRequested, waits } }) {
  const question = waits?.find(({ kind }) => kind === 'input')
  showQuestion(question)
  // The wait itself reports the end, with the result.
  if (retryAfter > 0) addLine(status, `retrying in ${seconds(retryAfter)}`, response.url)
  showStatus(status, progress?.fraction)
  const place = queuePosition > 1 ? `${WORDS.pending}: number ${queuePosition} in the queue` : WORDS[status]
  $('message').textContent = cancelRequested
    ? 'Canceling'
    : sentence(question ? 'Waiting for an answer' : (progress?.message ?? place ?? status))
}

/** Called for each request that fails and is sent again, and without an error once the server answers. */
function onTrouble(error) {
  if (error && $('trouble').hidden) addLine('no answer', 'trying again', statusUrl)
  $('trouble').hidden = !error
}

async function cancel() {
  $('cancel').disabled = true
  const response = await fetch(statusUrl, { method: 'DELETE' }).catch(() => undefined)
  addLine('cancel', response ? `answered ${response.status}` : 'not sent', statusUrl)
  // The wait tells how it ended. A cancel that did not arrive can be sent again.
  $('cancel').disabled = response?.ok === true
}

/** What the handler asks; the answer goes to the URL that the status names. */
function showQuestion(wait) {
  $('question').hidden = !wait
  $('question').dataset.url = wait?.url ?? ''
  $('question-text').textContent = wait?.message ?? ''
}

async function answer(value) {
  const { url } = $('question').dataset
  const init = { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(value) }
  const response = await fetch(url, init).catch(() => undefined)
  addLine('answer', response ? `answered ${response.status}` : 'not sent', url)
  // One that did not arrive can be sent again.
  if (response) showQuestion()
}

function begin(url) {
  showQuestion()
  $('idle').hidden = true
  $('tracking').hidden = false
  $('outcome').hidden = true
  $('track').hidden = false
  $('cancel').hidden = false
  $('cancel').disabled = false
  $('timeline').replaceChildren()
  const id = url.slice(url.lastIndexOf('/') + 1)
  $('order-id').textContent = id
  drawBarcode(id)
  $('slip').scrollIntoView({ block: 'nearest' })
  $('message').textContent = WORDS.pending
  showStatus('pending')
}

function showStatus(status, fraction) {
  $('slip').dataset.status = status
  $('badge').hidden = false
  $('badge').textContent = status
  if (fraction === undefined) $('progress').removeAttribute('value')
  else $('progress').value = fraction
  $('percent').textContent = fraction === undefined ? '' : `${Math.round(fraction * 100)} %`
}

function showEnd(status, result, error) {
  showStatus(status, 1)
  showQuestion()
  $('trouble').hidden = true
  addLine(status, 'ended', error?.response?.url ?? statusUrl)
  $('track').hidden = !result
  $('cancel').hidden = true
  $('message').textContent = WORDS[status] ?? 'No more is known of it'
  $('outcome').hidden = false
  $('outcome-title').textContent = result ? 'Result' : 'What happened'
  $('result').hidden = !result
  $('result').textContent = result ? JSON.stringify(result, null, 2) : ''
  showProblem($('failure'), error && (error.problem ?? { title: error.message }))
  // A deleted order is not requested again.
  if (error?.code === 'gone') sessionStorage.removeItem(KEPT)
}

/** Shows the errors of the order in one place and beside each field. */
function showRefusal(problem) {
  for (const input of $('form').querySelectorAll('[aria-invalid]')) {
    input.removeAttribute('aria-invalid')
    input.removeAttribute('aria-describedby')
  }
  showProblem($('refusal'), problem)
  for (const [index, { pointer }] of (problem?.errors ?? []).entries()) describe(fieldAt(pointer), `refusal-${index}`)
  $('form').querySelector('[aria-invalid]')?.focus()
}

/** Connects a field with its error. */
function describe(input, id) {
  if (!input) return
  const others = input.getAttribute('aria-describedby')
  input.setAttribute('aria-invalid', 'true')
  input.setAttribute('aria-describedby', others ? `${others} ${id}` : id)
}

function showProblem(place, problem) {
  place.hidden = !problem
  if (!problem) return
  const list = (problem.errors ?? []).map(({ pointer, detail }, index) =>
    element('li', { id: `${place.id}-${index}` }, element('code', {}, pointer), ` ${detail}`),
  )
  place.replaceChildren(
    element('strong', {}, problem.title),
    element('p', {}, problem.detail ?? ''),
    ...(list.length > 0 ? [element('ul', {}, ...list)] : []),
  )
}

/** The field that a JSON Pointer such as `/items/0/name` means. */
function fieldAt(pointer) {
  const [, member, index, name] = pointer.split('/')
  if (member === 'customer') return $('customer')
  return $('items').children[index]?.querySelector(`[name="${name === 'quantity' ? name : 'name'}"]`)
}

function readForm() {
  const items = Array.from($('items').children, item => {
    const quantity = item.querySelector('[name="quantity"]').value
    return { name: item.querySelector('[name="name"]').value, quantity: quantity === '' ? null : Number(quantity) }
  })
  return { customer: $('customer').value, items }
}

function addItem(name, quantity) {
  const item = $('item').content.cloneNode(true).firstElementChild
  item.querySelector('[name="name"]').value = name
  item.querySelector('[name="quantity"]').value = quantity
  const remove = item.querySelector('.remove')
  remove.setAttribute('aria-label', 'Remove this item')
  remove.addEventListener('click', () => {
    item.remove()
    $('add').focus()
  })
  $('items').append(item)
  return item
}

function addLine(status, what, url) {
  const now = new Date()
  const line = element(
    'li',
    { status },
    element('time', { datetime: now.toISOString() }, now.toLocaleTimeString([], { hour12: false })),
    element('span', { class: 'badge' }, status ?? 'unknown'),
    element('span', { class: 'what' }, what),
    element('span', { class: 'mono url', title: url }, url.replace(location.origin, '')),
  )
  $('timeline').prepend(line)
}

/** An element with text in it: `status` becomes data for the style sheet, everything else an attribute. */
function element(name, { status, ...attributes }, ...content) {
  const made = document.createElement(name)
  if (status) made.dataset.status = status
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value)
  made.append(...content)
  return made
}

/** A bar and a gap for each digit of the id: no code that a scanner reads, but no two orders share it. */
function drawBarcode(id) {
  const widths = Array.from(id.replaceAll('-', ''), digit => Number.parseInt(digit, 16) || 0)
  const bars = widths.flatMap(digit => [1 + (digit >> 2), 1 + (digit & 3)])
  $('barcode').replaceChildren(...bars.map(bar))
}

function bar(width) {
  const made = element('i', {})
  made.style.flexGrow = width
  return made
}

function seconds(value) {
  return `${Math.max(1, Math.round(value))} s`
}

function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1)
}
